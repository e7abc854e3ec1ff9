"""SelfCompression: when, where, and what the agent goes on from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_context_self_compression import SelfCompression, cloudllm_register_context_strategy
from cloudllm_core import (
    Agent,
    ContextView,
    Cut,
    Hub,
    Message,
    Mode,
    Orchestration,
    Outcome,
    Request,
    Thought,
    ThoughtChain,
    ThoughtType,
)
from cloudllm_core.errors import EffectError, Overloaded, RunError
from cloudllm_core.events import ContextCompacted, ThoughtCommitted
from cloudllm_core.testing import ScriptedProvider

SEA = "The sea is calm. " * 50
SAVE = "Findings: the tide turns at six."


def session(turns: int, each: int = 100, budget: int = 1000) -> ContextView:
    """A session of *turns*, each of so many tokens, the last one under way."""
    said = [Message.user("Say.") if nth % 2 == 0 else Message.assistant("Said.") for nth in range(2 * turns - 1)]
    cuts = [Cut(index=2 * n, turns_kept=turns - n, tokens_after=each * (turns - n)) for n in range(1, turns)]
    return ContextView(tokens=each * turns, budget=budget, messages=tuple(said), cuts=tuple(cuts))


# -- when and where -----------------------------------------------------------


def test_a_session_at_the_threshold_is_left_alone():
    """Only a load strictly above 0.8 is compressed."""
    assert SelfCompression().choose(session(8)) is None
    assert SelfCompression().choose(session(9)) is not None
    assert SelfCompression(threshold=0.5).choose(session(6)) is not None


def test_all_but_the_turn_under_way_goes():
    """By default nothing stays word for word, as in the original."""
    assert (1, 16) == (SelfCompression().choose(session(9)).turns_kept, SelfCompression().choose(session(9)).index)


@pytest.mark.parametrize(("keep", "left"), [(1, 2), (3, 4), (4, 5), (5, 5), (9, 5)])
def test_the_newest_turns_stay_if_they_fit(keep, left):
    """`keep` turns stay beside the one under way, or as many as make up half of the budget."""
    assert left == SelfCompression(keep=keep).choose(session(9)).turns_kept


def test_all_that_is_there_may_be_less_than_may_stay():
    """Two turns that are too long: the older one goes, whatever `keep` says."""
    assert 1 == SelfCompression(keep=5).choose(session(2, each=450)).turns_kept


def test_a_pressed_session_is_compressed_however_low_the_load():
    """The provider's word counts, and half of what it found too long may stay."""
    view = attrs.evolve(session(6, budget=100_000), pressed=True)

    assert 1 == SelfCompression().choose(view).turns_kept
    assert 3 == SelfCompression(keep=2).choose(view).turns_kept
    assert 3 == SelfCompression(keep=4).choose(view).turns_kept


def test_a_cut_that_makes_nothing_shorter_is_not_made():
    """A task that is longer than what goes is no reason for a model call."""
    longer = (Cut(index=2, turns_kept=1, tokens_after=1000),)
    view = attrs.evolve(session(2, each=450), cuts=longer, pressed=True)

    assert SelfCompression().choose(view) is None


# -- what is said at the desk -------------------------------------------------


@attrs.define(eq=False)
class Desk:
    """Answers with *save*, and keeps thoughts if there are any."""

    save: str
    thoughts: int = 0
    restored: str | None = None
    failing: Exception | None = None
    asked: list[str] = attrs.Factory(list)
    committed: list[tuple[str, str, list[int]]] = attrs.Factory(list)

    async def ask(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self.save

    async def commit(self, type: str, content: str, refs: Sequence[int] = ()) -> str | None:
        if self.failing is not None:
            raise self.failing
        self.committed.append((type, content, list(refs)))
        return self.restored


def summary(desk: Any, **settings: Any) -> str:
    view = session(9)
    return asyncio.run(SelfCompression(**settings).summarise(view, view.cuts[-1], desk))


def test_without_thoughts_it_goes_on_from_the_save():
    """The save has a heading that says what it is; the model was asked once."""
    desk = Desk(f"\n{SAVE}\n")
    expected = (
        f"=== SAVED CONTEXT (you wrote it when earlier messages were taken away) ===\n{SAVE}\n=== END SAVED CONTEXT ==="
    )

    assert expected == summary(desk, prompt="Save, please.")
    assert ["Save, please."] == desk.asked


def test_with_thoughts_it_goes_on_from_the_restored_context():
    """The save is committed as a compression with its references, and what restores it takes the place of the rest."""
    desk = Desk(f"{SAVE}\nREFS: 0, 9, x", thoughts=3, restored="=== RESTORED ===")

    assert "=== RESTORED ===" == summary(desk)
    assert [(ThoughtType.COMPRESSION, f"{SAVE}\nREFS: 0, 9, x", [0, 9])] == desk.committed
    assert "numbers 0 to 2." in desk.asked[0]


def test_a_restored_context_that_would_not_fit_gives_way_to_the_save():
    """All that a thought builds on may be longer than what went; then the save itself has to do."""
    desk = Desk(SAVE, thoughts=3, restored="x" * 4000)

    assert SAVE in summary(desk)
    assert "x" * 4000 not in summary(desk)


def test_a_chain_that_cannot_be_written_does_not_cost_the_save():
    """The save stands, and says why it is no thought."""
    problem = EffectError("Committing a thought", "OSError: No space left on device")

    said = summary(Desk(SAVE, thoughts=3, failing=problem))

    assert SAVE in said
    assert "(It could not be added to your thoughts: Committing a thought failed: OSError: No space left" in said


@pytest.mark.parametrize("nothing", ["", " \n "])
def test_a_model_that_writes_nothing_is_an_error(nothing):
    """So that the kernel can say why there is no summary; nothing is committed."""
    desk = Desk(nothing, thoughts=1)

    with pytest.raises(RunError, match=r"^The model was asked for a save of the session and wrote nothing\.$"):
        summary(desk)
    assert [] == desk.committed


def test_is_made_from_a_table():
    """A team file's table gives the same as the call; the hook gives the class."""
    assert SelfCompression(keep=2, target=0.4) == SelfCompression.from_settings({"keep": 2, "target": 0.4})
    assert "self-compression" == cloudllm_register_context_strategy().name


# -- in an agent --------------------------------------------------------------


class Notes(ThoughtChain):
    """A chain in memory."""

    name: ClassVar[str] = "notes"

    def __init__(self) -> None:
        self.kept: list[Thought] = []

    @property
    def thoughts(self) -> Sequence[Thought]:
        return self.kept

    def append(self, agent: str, type: str, content: str, refs: Iterable[int] = (), meta: Any = None) -> Thought:
        refs = self.checked_refs(refs)
        thought = Thought(index=len(self.kept), at=0.0, agent=agent, type=type, content=content, refs=refs)
        self.kept.append(thought)
        return thought


@attrs.frozen
class Interview(Mode):
    """Asks ada again and again."""

    name: ClassVar[str] = "interview"
    times: int

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for _ in range(self.times):
            await hub.ask("ada", prompt)
        return Outcome(complete=True)


def converse(save: Any, notes: Notes | None = None, times: int = 9) -> tuple[Orchestration, Any, list[Request]]:
    """A conversation of ada's that outgrows 2,000 tokens once, the model's save being *save*."""

    def says(request: Request) -> Any:
        return save if request.tool_choice == "none" else SEA

    model = ScriptedProvider(says, repeat=True)
    ada = Agent("ada", model, strategy=SelfCompression(), thoughts=notes, max_tokens=2000)
    orchestration = Orchestration([ada], Interview(times))

    async def main() -> Any:
        run = orchestration.run("Watch the sea.")
        result = await run
        assert (True, None) == (result.complete, result.error)
        return run.records

    return orchestration, asyncio.run(main()), model.requests


def events(records: Any, kind: type) -> list[Any]:
    return [record.event for record in records if isinstance(record.event, kind)]


def test_an_agent_goes_on_from_its_save_behind_the_task():
    """In a real loop: asked once, before anything is lost; then task, save and the turn under way."""
    _, records, requests = converse(SAVE)
    (asked,) = [nth for nth, request in enumerate(requests) if request.tool_choice == "none"]

    assert (*requests[asked - 1].messages, Message.assistant(SEA)) == requests[asked].messages[:-1]
    assert requests[asked].messages[-1].text.startswith("This conversation has to be shortened.")
    texts = [part.text for part in requests[asked + 1].messages[0].parts]
    assert ["Watch the sea.", True, "Go on."] == [texts[0], SAVE in texts[1], texts[2]]
    (event,) = events(records, ContextCompacted)
    assert ("self-compression", True, None) == (event.strategy, event.summary, event.problem)
    assert event.tokens_after < event.tokens_before


def test_an_agent_that_keeps_thoughts_goes_on_from_them():
    """The chain grows by one compression that refers to what there is; a replay adds nothing."""
    notes = Notes()
    notes.append("ada", "Finding", "The moon draws the sea.")
    orchestration, records, requests = converse(f"{SAVE}\nREFS: 0, 5", notes)

    assert [("Finding", ()), ("Compression", (0,))] == [(thought.type, thought.refs) for thought in notes.thoughts]
    (event,) = events(records, ThoughtCommitted)
    assert ("ada", "Compression", 1) == (event.agent, event.thought_type, event.index)
    session = requests[-1].messages[0].text
    assert "=== RESTORED CONTEXT (from ThoughtChain) ===\n[#0] Finding (ada): The moon draws the sea." in session
    asyncio.run(orchestration.replay(records))
    assert 2 == len(notes.thoughts)


@pytest.mark.parametrize(
    ("save", "problem"),
    [
        (Overloaded("busy"), "Asking the model failed: Overloaded: The provider: busy."),
        (" ", "The model was asked for a save of the session and wrote nothing."),
        ("x" * 8000, "its "),
    ],
    ids=["fails", "writes nothing", "writes too much"],
)
def test_an_agent_goes_on_without_a_save_that_cannot_be_had(save, problem):
    """The cut is made all the same, once, and the event says why there is no summary."""
    orchestration, records, requests = converse(save)
    (event,) = events(records, ContextCompacted)

    assert not event.summary
    assert event.problem.startswith(problem)
    assert 1 == sum(request.tool_choice == "none" for request in requests)
    assert "Watch the sea.\nGo on." == requests[-1].messages[0].text
    asyncio.run(orchestration.replay(records))
