"""Events and records: what happened, placed, under the names that users know."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import attrs
import pytest

from cloudllm_core import Event, Hub, Record, Signal, events, tool
from cloudllm_core._events import Event as EventBase
from cloudllm_core._journal import encode
from cloudllm_core._records import read_event
from cloudllm_core.errors import Overloaded
from cloudllm_core.testing import call, stage
from tests.kernel.stories import InTurn, Story, Together, ask_ada, tell, tell_virtually


@attrs.frozen(kw_only=True)
class Applause(Event):
    """An event of a mode's own."""

    loudness: int
    by: tuple[str, ...] = ()


@tool(effect="read")
async def look() -> str:
    """Look."""
    return "seen"


def kinds(cls: type[Event] = EventBase) -> list[type[Event]]:
    """All events of the kernel."""
    found = [sub for sub in cls.__subclasses__() if sub.__module__.startswith("cloudllm_core")]
    return list({sub.__name__: sub for sub in [*found, *(deep for one in found for deep in kinds(one))]}.values())


def sample(cls: type[Event]) -> Event:
    """One event of *cls*, its fields filled by their types."""
    values: dict[str, Any] = {
        "str": "text",
        "int": 7,
        "float": 0.5,
        "bool": True,
        "JsonObject": {"a": [1]},
        "tuple[str, ...]": ("a", "b"),
        "Mapping[str, Json]": {"x": 1},
    }
    fields = attrs.fields(cls)
    return cls(**{field.name: values[str(field.type).partition(" | ")[0]] for field in fields})


@pytest.mark.parametrize("cls", [cls for cls in kinds() if cls.__name__ not in ("AgentEvent", "UnknownEvent")])
def test_every_event_is_read_back_as_it_was_written(cls: type[Event]) -> None:
    """Through JSON text it is the same class with the same fields."""
    event = sample(cls)

    assert event == read_event(json.loads(encode(event.to_json())))
    assert hash(cls.__name__)


def test_an_event_of_a_plugin_is_read_back_too() -> None:
    """Any subclass that is loaded is known by its name."""
    event = Applause(loudness=7, by=("ada",))

    assert event == read_event(json.loads(encode(event.to_json())))


def test_an_event_whose_class_is_not_loaded_is_unknown_and_whole() -> None:
    """A journal of another installation can be read; nothing is lost."""
    body = {"event": "TaskJuggled", "balls": 3}

    expected = events.UnknownEvent(name="TaskJuggled", fields={"balls": 3})
    assert expected == read_event(body)


def test_an_event_that_has_other_fields_now_is_unknown_and_whole() -> None:
    """A journal of another version can be read."""
    body = {"event": "Progress", "done": 1, "total": 2, "unit": "tasks"}

    assert events.UnknownEvent(name="Progress", fields={"done": 1, "total": 2, "unit": "tasks"}) == read_event(body)


def test_all_events_are_public() -> None:
    """`cloudllm_core.events` has each of them, and the signals."""
    for cls in kinds():
        assert cls is getattr(events, cls.__name__)
    for name in ("Event", "Signal", "LLMContentDelta", "LLMReasoningDelta"):
        assert hasattr(events, name)
    assert issubclass(events.LLMContentDelta, Signal)


ORIGINAL = [
    "SendStarted",
    "SendCompleted",
    "LLMCallStarted",
    "LLMCallCompleted",
    "LLMReasoningDelta",
    "LLMContentDelta",
    "ToolCallDetected",
    "ToolExecutionCompleted",
    "ToolMaxIterationsReached",
    "ProtocolAdded",
    "ProtocolRemoved",
    "SystemPromptSet",
    "MessageReceived",
    "Forked",
    "ForkedWithContext",
    "RunStarted",
    "RunCompleted",
    "RoundStarted",
    "RoundCompleted",
    "AgentSelected",
    "AgentResponded",
    "AgentFailed",
]


@pytest.mark.parametrize("name", ORIGINAL)
def test_the_names_of_the_original_are_kept(name: str) -> None:
    """Users find the events they know."""
    assert hasattr(events, name)


def test_the_fields_of_the_original_are_kept() -> None:
    """At least these can be asked of each event."""
    started = events.RunStarted(run_id="r", orchestration_name="o", mode="m", agents=("a", "b"), prompt="p")
    assert 2 == started.agent_count
    selected = events.AgentSelected(agent="ada", reason="r")
    assert ("ada", "ada") == (selected.agent_id, selected.agent_name)
    sent = events.SendStarted(agent="ada", message="line\n" * 100)
    assert 120 == len(sent.message_preview)
    assert "\n" not in sent.message_preview


# -- records ------------------------------------------------------------------


def test_a_record_says_where_and_when() -> None:
    """Numbers from 1 without gaps, lanes, UTC times that never go back, the run's id."""
    show = tell_virtually(InTurn(), {"ada": "A", "bob": "B"})

    assert list(range(1, len(show.records) + 1)) == [record.number for record in show.records]
    assert {"run", "ada", "bob"} == {record.lane for record in show.records}
    assert {show.result.run_id} == {record.run_id for record in show.records}
    assert dt.UTC == show.records[0].time.tzinfo
    assert sorted(record.at for record in show.records) == [record.at for record in show.records]


def test_a_body_is_decoded_afresh_and_yours_to_keep() -> None:
    """Changing it changes nobody's record."""
    record = tell(ask_ada).records[0]
    record.body["prompt"] = "changed"
    record.body["agents"].clear()

    assert "Begin." == record.body["prompt"]
    assert record.body["agents"]


def test_an_event_stays_as_it_was_announced_though_the_mode_changes_its_lists() -> None:
    """Encoding at once freezes mutable values."""
    names: list[str] = ["ada"]

    async def story(hub: Hub) -> None:
        hub.announce(Applause(loudness=1, by=tuple(names)))
        names.append("bob")

    (event,) = tell(story).notebook.events(Applause)
    assert ("ada",) == event.by


def test_the_effects_of_a_turn_are_seen_under_the_names_users_know() -> None:
    """Model and tool calls need no second pair of objects: their records are their events."""
    show = tell(ask_ada, [["Let me look.", call("look")], "I saw it."], tools=[look])

    assert [
        "RunStarted",
        "AgentSelected",
        "SendStarted",
        "LLMCallStarted",
        "LLMCallCompleted",
        "ToolCallDetected",
        "ToolExecutionCompleted",
        "LLMCallStarted",
        "LLMCallCompleted",
        "SendCompleted",
        "AgentResponded",
        "RunCompleted",
    ] == show.notebook.titles
    first, second = show.notebook.events(events.LLMCallCompleted)
    assert (1, "Let me look.", 1, "tool_use", None, 12) == (
        first.iteration,
        first.text,
        first.tool_calls,
        first.stop,
        first.error,
        first.response_length,
    )
    assert (2, "I saw it.", 0, "end") == (second.iteration, second.text, second.tool_calls, second.stop)
    (detected,) = show.notebook.events(events.ToolCallDetected)
    assert ("look", {}, 1, "call_1") == (
        detected.tool_name,
        detected.parameters,
        detected.iteration,
        detected.call_id,
    )
    (sent,) = show.notebook.events(events.SendCompleted)
    assert (1, 9) == (sent.tool_calls_made, sent.response_length)


def test_a_failed_model_call_says_why() -> None:
    """No usage, stop `error`, the error's sentence."""
    show = tell(lambda hub: hub.try_ask("ada", "x"), Overloaded("busy", "acme"))

    (event,) = show.notebook.events(events.LLMCallCompleted)
    assert ("error", "acme: busy.", None, "") == (event.stop, event.error, event.tokens_used, event.text)


def test_what_a_mode_does_is_seen_by_its_own_name() -> None:
    """`hub.do` by the name the mode gave, the clock as `Did`, sleeping as an effect."""

    async def story(hub: Hub) -> None:
        await hub.do("check", len, "x", effect="write")
        hub.now()
        await hub.sleep(1)

    show = tell_virtually(story)
    assert [events.EffectStarted(name="check", effect="write"), events.EffectStarted(name="sleep", effect="read")] == (
        show.notebook.events(events.EffectStarted)
    )
    assert [("check", "ok"), ("sleep", "ok")] == [
        (e.name, e.outcome) for e in show.notebook.events(events.EffectFinished)
    ]
    assert [events.Did(name="now")] == show.notebook.events(events.Did)


def test_what_comes_from_outside_is_an_event_too() -> None:
    """A cancellation and a timer are inputs."""

    async def story(hub: Hub) -> None:
        try:
            async with hub.timeout(0.01):
                await hub.sleep(9)
        except TimeoutError:
            pass
        await hub.do("stop", runs[0].cancel)
        await hub.sleep(9)

    runs: list[Any] = []

    async def main() -> list[Record]:
        runs.append(stage(Story(story), {"ada": "A"}).run("Go"))
        await runs[0]
        records: list[Record] = runs[0].records
        return records

    taken = [record.event for record in asyncio.run(main()) if isinstance(record.event, events.InputTaken)]
    assert [("timeout", "run#1/1"), ("cancel", None)] == [(event.what, event.scope) for event in taken]


def test_each_start_has_its_end() -> None:
    """Whatever fails on the way: one terminal event for each start, in a team that works at once."""
    script = {"ada": [call("look"), "A"], "bob": Overloaded("busy"), "cyn": [call("nothing"), "C"]}
    show = tell(Together(), script, tools=[look])
    titles = show.notebook.titles

    assert titles.count("LLMCallStarted") == titles.count("LLMCallCompleted")
    assert titles.count("ToolCallDetected") == titles.count("ToolExecutionCompleted")
    assert titles.count("SendStarted") == titles.count("SendCompleted") + titles.count("AgentFailed")
    assert titles.count("AgentSelected") == titles.count("AgentResponded") + titles.count("AgentFailed")
    assert titles.count("RoundStarted") == titles.count("RoundCompleted")
