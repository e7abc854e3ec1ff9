"""Replays: a run re-enacted exactly, and every way of leaving its path told at once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import Agent, Hub, Mode, Orchestration, Outcome, PastEnds, Record, Registry, load_records, tool
from cloudllm_core._run import Conditions
from cloudllm_core.errors import DivergenceError, SetupError
from cloudllm_core.testing import ScriptedProvider, call, simulate, stage
from tests.kernel.keepers import Tape
from tests.kernel.programs import team
from tests.kernel.reenact import told
from tests.kernel.stories import InTurn, Story, alone, replay, tell, tell_virtually

ROOT = Path(__file__).parents[2]


@tool(effect="read")
async def look(where: str) -> str:
    """Look somewhere."""
    return f"seen {where}"


@tool(effect="read", name="look")
async def look_harder(where: str, hard: bool = True) -> str:
    """Look somewhere."""
    return f"seen {where}"


def build(mode: Mode | None = None, **options: Any) -> Orchestration:
    """The orchestration of the tests below; every part of it can be changed."""
    registry = Registry.of()
    provider = options.pop("provider", None) or ScriptedProvider([call("look", where="here")], "Done.", "Again.")
    agent: dict[str, Any] = {"instructions": "Be kind.", "tools": [look]} | options.pop("agent", {})
    name = options.pop("agent_name", "ada")
    options = {"name": "team", "system_context": "You are a team."} | options
    return Orchestration(
        [Agent(name, provider, **agent, registry=registry)], mode or InTurn(2), registry=registry, **options
    )


def recorded(orchestration: Orchestration | None = None, prompt: str = "Begin.") -> list[Record]:
    """The records of a run, read back from their lines as a replay in another process would."""
    tape = Tape()

    async def main() -> None:
        await (orchestration or build()).run(prompt, journal=tape)

    asyncio.run(main())
    return load_records(tuple(tape.lines), "memory")


RECORDS = recorded()


def diverges(orchestration: Orchestration, records: list[Record] | None = None) -> DivergenceError:
    """The divergence that a replay is told; nothing is performed, and nothing is left running."""
    with pytest.raises(DivergenceError) as caught:
        alone(lambda: orchestration.replay(records or RECORDS))
    for agent in orchestration.agents:
        assert [] == agent.provider.requests  # type: ignore[attr-defined] # scripted
        assert agent.session.holder is None
        assert [] == agent.parts
    return caught.value


# -- the same -----------------------------------------------------------------


def test_the_same_orchestration_gives_the_same_result_and_performs_nothing() -> None:
    """Providers and tools are not touched."""
    orchestration = build()
    result = alone(lambda: orchestration.replay(RECORDS))

    assert ["Done.", "Again."] == [reply.text for reply in result.messages]
    assert ("completed", True, RECORDS[0].run_id) == (result.stop_reason, result.complete, result.run_id)
    assert [] == orchestration.agents[0].provider.requests  # type: ignore[attr-defined] # scripted
    assert 0 == orchestration.agents[0].session_history_len


def test_a_replay_can_be_replayed_and_its_order_is_the_same() -> None:
    """Again and again."""
    orchestration = build()
    once, again = (alone(lambda: orchestration.replay(RECORDS)) for _ in range(2))

    assert told(once) == told(again)


def test_what_a_mode_learned_is_learned_again_as_the_journal_holds_it() -> None:
    """Tuples arrive as lists, live as in a replay."""
    learned: list[Any] = []

    async def story(hub: Hub) -> None:
        learned.append(await hub.do("pair", lambda: (1, (2, 3), {"a": ("b",)})))

    show = tell(story)
    replay(show)

    assert [[1, [2, 3], {"a": ["b"]}]] * 2 == learned


def test_sessions_of_before_are_part_of_the_journal() -> None:
    """A run that began with a history replays, whatever the sessions are now."""
    orchestration = build()
    records = recorded(orchestration, "First.")
    orchestration.agents[0].provider = ScriptedProvider("More.", "And more.")
    more = recorded(orchestration, "Second.")

    result = alone(lambda: build(InTurn(2)).replay(more))

    assert ["More.", "And more."] == [reply.text for reply in result.messages]
    assert len(records) > 1


def test_what_happened_to_an_agent_before_is_part_of_the_journal() -> None:
    """News of before the run are announced in it, and a fresh orchestration replays them."""
    orchestration = build()
    orchestration.agents[0].receive_message("A letter.")
    orchestration.agents[0].set_system_prompt("Be kind.")
    records = recorded(orchestration)

    result = alone(lambda: build().replay(records))

    assert result.complete


def test_a_replay_leaves_pending_news_for_the_next_run() -> None:
    """It does not take what is still to be announced."""
    orchestration = build()
    ada = orchestration.agents[0]
    ada.receive_message("A letter.")

    alone(lambda: orchestration.replay(RECORDS))

    assert ["MessageReceived"] == [type(event).__name__ for event in ada.waiting]
    assert "MessageReceived" in [type(record.event).__name__ for record in recorded(orchestration)]


def test_a_fresh_process_under_another_hash_seed_replays_the_same_records() -> None:
    """Neither sets nor hashes decide anything: two processes with other seeds tell the same."""
    tape = Tape()
    simulation = simulate(lambda: team(11), seed=11, journal=tape)
    hashes = [record.hash for record in simulation.records]
    mode: Any = simulation.orchestration.mode
    log = json.loads(json.dumps(mode.log, default=lambda value: value.to_json()))

    for seed in ("1", "4711"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.kernel.reenact", "11"],
            input=b"\n".join(tape.lines),
            capture_output=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=False,
            timeout=60,
        )
        assert 0 == done.returncode, done.stderr.decode()
        answer = json.loads(done.stdout)
        assert told(simulation.result) == answer["replayed"]
        assert log == answer["log"]
        assert hashes == answer["hashes"]


# -- another orchestration ----------------------------------------------------

CHANGES: list[tuple[str, Callable[[], Orchestration], str, str, str]] = [
    (
        "instructions",
        lambda: build(agent={"instructions": "Be mean."}),
        "agents[0].instructions",
        "Be kind.",
        "Be mean.",
    ),
    ("system_context", lambda: build(system_context="Alone."), "agents[0].instructions", "You are a team.", "Alone."),
    ("model", lambda: build(agent={"options": {"t": 1}}), "agents[0].options.t", "None", "1"),
    ("calls", lambda: build(agent={"max_tool_calls": 3}), "agents[0].max_tool_calls", "25", "3"),
    ("tokens", lambda: build(agent={"max_tokens": 99}), "agents[0].max_tokens", "128000", "99"),
    ("agent", lambda: build(agent_name="eve"), "agents[0].instructions", "You are ada.", "You are eve."),
    ("settings", lambda: build(InTurn(3)), "settings.rounds", "2", "3"),
    ("name", lambda: build(name="other"), "orchestration", "'team'", "'other'"),
    ("on_failure", lambda: build(on_failure="stop"), "on_failure", "'continue'", "'stop'"),
]


@pytest.mark.parametrize(("label", "make", "field", "was", "now"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_changed_setting_is_a_divergence_at_record_1_that_names_the_field(
    label: str, make: Callable[[], Orchestration], field: str, was: str, now: str
) -> None:
    """Before anything is re-enacted: which field, what it was, what it is."""
    divergence = diverges(make())

    assert (1, "run", 0, field) == (divergence.number, divergence.lane, divergence.position, divergence.field)
    assert was in divergence.recorded
    assert now in divergence.now
    beginning = f"The replay diverges at record 1 (lane 'run', position 0) in {field}: recorded "
    assert str(divergence).startswith(beginning)


@pytest.mark.parametrize("tools", [[], [look_harder], [look, tool(effect="read", name="more")(lambda: "x")]])
def test_changed_tools_are_a_divergence_at_record_1(tools: list[Any]) -> None:
    """A tool that is gone, new, or has another schema."""
    assert "agents[0].tools" == diverges(build(agent={"tools": tools})).field


def test_another_mode_is_a_divergence_at_record_1() -> None:
    """By its name and settings."""
    divergence = diverges(build(Story(InTurn(2).run)))  # type: ignore[arg-type] # it is not run

    assert "mode" == divergence.field


def test_a_changed_prompt_is_a_divergence_at_record_1() -> None:
    """Whoever begins a run on a past with another prompt is told which field it is."""

    async def main() -> None:
        build().run("Something else.", conditions=Conditions(past=tuple(RECORDS)))

    with pytest.raises(DivergenceError) as caught:
        asyncio.run(main())
    assert (
        "The replay diverges at record 1 (lane 'run', position 0) in prompt: recorded 'Begin.'; now 'Something else.'."
    ) == str(caught.value)


def test_more_agents_are_a_divergence_at_record_1() -> None:
    """A list of another length is shown whole."""
    orchestration = build()
    orchestration.add_agent(Agent("eve", ScriptedProvider(), registry=orchestration.registry))

    assert "agents" == diverges(orchestration).field


# -- another mode code --------------------------------------------------------


@attrs.frozen
class Variant(Mode):
    """One mode in several versions of its code; its settings do not tell."""

    name: ClassVar[str] = "variant"
    version: str = "as it was"
    log: list[str] = attrs.field(factory=list, eq=False)

    def settings(self) -> dict[str, Any]:
        return {}

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        version = self.version
        if version == "adds":
            await hub.do("new", len, "x")
        if version == "ends early":
            return Outcome(complete=True)
        try:
            await hub.ask("ada", "Another." if version == "asks otherwise" else prompt, note=self.note)
        except BaseException:
            if version != "swallows":
                raise
            self.log.append("swallowed")
        if version == "swallows":
            await hub.do("other", len, "x")
        if version != "removes":
            await hub.do("check", len, "yy" if version == "argument" else "xx")
        if version == "clock":
            hub.now()
        if version == "goes on":
            await hub.ask("ada", "And then?")
        if version == "announces":
            hub.progress(1, 1)
        return Outcome(complete=version != "judges otherwise")

    @property
    def note(self) -> str | None:
        return "New." if self.version == "notes" else None


VARIANT = recorded(build(Variant()))

VARIANTS = {
    "adds": "started in lane 'run' at position 1",
    "ends early": "note in lane 'run' at position 0",
    "asks otherwise": "note: ",
    "notes": "note: ",
    "removes": "note in lane 'run' at position 0",
    "argument": "started: ",
    "clock": "did",
    "goes on": "note in lane 'ada'",
    "announces": "note: ",
    "judges otherwise": "note: ",
    "swallows": "started: ",
}


@pytest.mark.parametrize("version", VARIANTS)
def test_changed_code_of_a_mode_is_found_where_it_first_does_something_else(version: str) -> None:
    """The divergence says number, lane, position, what was recorded and what is done now."""
    divergence = diverges(build(Variant(version)), VARIANT)

    record = VARIANT[divergence.number - 1] if divergence.number <= len(VARIANT) else VARIANT[-1]
    assert 1 < divergence.number <= len(VARIANT) + 1
    if divergence.number <= len(VARIANT):
        assert (record.lane, record.position) == (divergence.lane, divergence.position)
        assert divergence.recorded.startswith(f"{record.kind}: ")
    assert VARIANTS[version] in divergence.now
    where = f"record {divergence.number} (lane {divergence.lane!r}, position {divergence.position})"
    told = f"The replay diverges at {where}: recorded {divergence.recorded}; now {divergence.now}."
    assert told == str(divergence)


def test_an_unchanged_variant_replays() -> None:
    """The control of the test above."""
    assert alone(lambda: build(Variant()).replay(VARIANT)).complete


def test_a_changed_prompt_of_an_ask_shows_both_texts() -> None:
    """One sees at once what was said then and is said now."""
    divergence = diverges(build(Variant("asks otherwise")), VARIANT)

    assert '"message":"Begin."' in divergence.recorded
    assert '"message":"Another."' in divergence.now


def test_a_divergence_is_not_raised_into_the_mode() -> None:
    """A mode that swallows everything cannot swallow it."""

    async def greedy(hub: Hub) -> Outcome:
        for _ in range(5):
            try:
                await hub.ask("ada", "Another.")
            except BaseException:  # noqa: BLE001 -- that is the mischief
                continue
        return Outcome(complete=True)

    async def plain(hub: Hub) -> Outcome:
        await hub.ask("ada", "Begin.")
        return Outcome(complete=True)

    @attrs.frozen
    class Same(Mode):
        name: ClassVar[str] = "same"
        tell: Any

        def settings(self) -> dict[str, Any]:
            return {}

        async def run(self, hub: Hub, prompt: str) -> Outcome:
            outcome: Outcome = await self.tell(hub)
            return outcome

    records = recorded(build(Same(plain)))
    assert 4 > diverges(build(Same(greedy)), records).number


# -- a journal that is cut ----------------------------------------------------


@pytest.mark.parametrize("length", range(1, len(RECORDS)))
def test_a_journal_that_ends_before_its_run_says_so(length: int) -> None:
    """Cut anywhere, the replay stops at its end; nothing is performed."""
    orchestration = build()

    with pytest.raises(PastEnds, match=r"^The journal ends before the run does\.$"):
        alone(lambda: orchestration.replay(RECORDS[:length]))
    assert [] == orchestration.agents[0].provider.requests  # type: ignore[attr-defined] # scripted


def test_no_records_are_nothing_to_replay() -> None:
    """A sentence instead of an IndexError."""
    with pytest.raises(SetupError) as caught:
        asyncio.run(build().replay([]))
    assert "There is nothing to replay: the journal holds no records." == str(caught.value)


def test_an_effect_that_is_gone_from_the_journal_is_a_divergence() -> None:
    """Taking a `finished` record out (and chaining anew) is found where it is missed."""
    finished = next(index for index, record in enumerate(RECORDS) if record.kind == "finished")
    divergence = diverges(build(), [*RECORDS[:finished], *RECORDS[finished + 1 :]])

    assert RECORDS[finished + 1].number == divergence.number
    assert "nobody asks for this; waited for: model (lane 'ada', position 1)" == divergence.now


def test_an_effect_too_many_in_the_journal_is_a_divergence() -> None:
    """A result that nobody asked for is found at once, without a timeout."""
    finished = next(index for index, record in enumerate(RECORDS) if record.kind == "finished")
    stray = attrs.evolve(RECORDS[finished], position=7, event=None)
    divergence = diverges(build(), [*RECORDS[:finished], stray, *RECORDS[finished:]])

    assert ("ada", 7) == (divergence.lane, divergence.position)
    assert divergence.now.startswith("nobody asks for this")


def test_a_journal_that_goes_on_after_its_run_is_a_divergence() -> None:
    """Records behind the last one are found when the run has ended."""
    last = RECORDS[-1]
    stray = attrs.evolve(last, number=last.number + 1, event=None)
    divergence = diverges(build(), [*RECORDS, stray])

    assert (last.number + 1, "the run has ended") == (divergence.number, divergence.now)


def test_a_timer_that_nobody_set_is_a_divergence() -> None:
    """A recorded timeout needs its block."""

    async def timed(hub: Hub) -> None:
        try:
            async with hub.timeout(1):
                await hub.sleep(5)
        except TimeoutError:
            pass

    show = tell_virtually(timed)
    records = [attrs.evolve(r, text=r.text.replace("run#1/1", "run#1/9"), event=None) for r in show.records]
    divergence = diverges(show.orchestration, records)

    assert "nobody set the timer 'run#1/9'" == divergence.now


def test_a_replay_of_another_results_gives_other_words() -> None:
    """The journal is what is re-enacted: its words, not the provider's."""
    records = [attrs.evolve(r, text=r.text.replace("Again.", "Never."), event=None) for r in RECORDS]

    async def main() -> Any:
        return await build().replay(records)

    assert "Never." == asyncio.run(main()).answer


def test_a_run_that_failed_replays_to_the_same_failure() -> None:
    """Errors are re-enacted: same reason, same sentence."""

    async def story(hub: Hub) -> None:
        await hub.ask("ada", "x")
        raise LookupError("no such thing")

    show = tell(story)
    result = replay(show)

    assert ("failed", "no such thing") == (result.stop_reason, str(result.error))


def test_a_replay_works_while_the_orchestration_runs() -> None:
    """It needs no session of anybody's."""

    async def main() -> Any:
        orchestration = stage(InTurn(), {"ada": "A"})
        first = orchestration.run("Go")
        await first
        second = orchestration.run("Go")
        replayed = await orchestration.replay(first.records)
        return replayed, await second

    replayed, second = alone(main)
    assert "A" == replayed.answer
    assert not second.complete  # its script was over; the replay did not need it
