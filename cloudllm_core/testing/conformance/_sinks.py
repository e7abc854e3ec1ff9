"""The contract of event sinks."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs
import pytest

from ... import events as e
from ..._contracts import Hub, Mode, Outcome
from ..._journal import GENESIS, encode
from ..._outlets import EventSink
from ..._records import Record
from ..._settings import hints_of
from ..._tool import tool
from ...errors import Overloaded
from .._rehearse import Script, rehearse
from .._script import call
from ._chance import ODD_TEXTS, dice_of, odd_text

HUGE = "x" * 1_000_000


class EventSinkContract:
    """What every event sink promises. Subclass it and write the fixture ``sink``."""

    @pytest.fixture
    def sink(self) -> EventSink:
        """The sink under test, writing where tests may write."""
        raise NotImplementedError("Write a fixture `sink` that returns an instance of your event sink.")

    def test_has_a_name(self, sink: EventSink) -> None:
        """Its name is a plain lower-case word."""
        assert re.fullmatch(r"[a-z][a-z0-9-]*", sink.name)

    @pytest.mark.parametrize(
        "kind",
        sorted(kind.__name__ for kind in vars(e).values() if inspect.isclass(kind) and issubclass(kind, e.Event)),
    )
    def test_takes_every_event(self, sink: EventSink, kind: str) -> None:
        """It takes each event of the kernel, with plain, odd and empty fields."""
        for text in ("plain", *ODD_TEXTS):
            sink.receive(a_record(an_event(getattr(e, kind), text)))

    def test_takes_events_it_has_never_heard_of(self, sink: EventSink) -> None:
        """An event of a mode that was written later, or is not installed here, is taken like any other."""

        @attrs.frozen(kw_only=True)
        class OfAnotherPlugin(e.Event):
            deep: Mapping[str, Any] = attrs.Factory(lambda: {"a": [1, {"b": None}], "": ODD_TEXTS[3]})

        sink.receive(a_record(OfAnotherPlugin()))
        for fields in ({}, {"name": "x", "fields": {}}, {"deep": [[[]]], "\ud800": 1.5}):
            sink.receive(a_record(e.UnknownEvent(name="FromTheFuture", fields=fields)))

    def test_takes_huge_text(self, sink: EventSink) -> None:
        """A megabyte in one event is taken, too."""
        sink.receive(a_record(an_event(e.LLMCallCompleted, HUGE)))
        sink.receive(a_record(an_event(e.ToolCallDetected, HUGE)))

    def test_takes_signals(self, sink: EventSink) -> None:
        """What passes by does no harm, whether the sink listens or not."""
        for text in ("plain", *ODD_TEXTS, HUGE):
            sink.signal(e.LLMContentDelta(agent="ada", lane="ada", position=1, text=text))
            sink.signal(e.LLMReasoningDelta(agent="ada", lane="ada", position=1, attempt=2, text=text))

    def test_leaves_records_alone(self, sink: EventSink) -> None:
        """A record is the same for whoever reads it next."""
        dice = dice_of("records")
        records = [a_record(an_event(e.SendStarted, odd_text(dice))) for _ in range(20)]
        before = [(record.number, record.text, record.hash, encode(record.event.to_json())) for record in records]
        for record in records:
            sink.receive(record)

        assert before == [
            (record.number, record.text, record.hash, encode(record.event.to_json())) for record in records
        ]

    def test_can_be_closed_twice_and_used_again(self, sink: EventSink) -> None:
        """Closing says that no run feeds it for now; another run may come."""
        sink.close()
        sink.receive(a_record(an_event(e.RunStarted, "plain")))
        sink.close()
        sink.close()
        sink.receive(a_record(an_event(e.RunStarted, "plain")))
        sink.close()

    def test_works_in_another_thread(self, sink: EventSink) -> None:
        """Its methods are called from a thread that the kernel made, not from the one that made the sink."""
        raised = in_another_thread(lambda: self.test_can_be_closed_twice_and_used_again(sink))

        assert [] == raised

    def test_misses_nothing_of_a_run(self, sink: EventSink) -> None:
        """It takes every record of runs with tools, failures and two runs at once: what was sent was delivered."""

        async def main() -> list[Any]:
            shows = await asyncio.gather(
                *(rehearse(Both(), SCRIPT, tools=[look, lose], sinks=[sink]) for _ in range(2))
            )
            return [show.result.sinks[0] for show in shows]

        for report in asyncio.run(main()):
            assert (None, 0, 0) == (report.problem, report.failed, report.dropped)
            assert report.sent == report.delivered > 20


@attrs.frozen
class Both(Mode):
    """Asks two agents one after the other."""

    name: ClassVar[str] = "both"

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        async with hub.round():
            for agent in hub.agents:
                await hub.try_ask(agent, prompt, note="Be brief.")
            hub.progress(1, 1)
        return Outcome(complete=True, score=1.0)


@tool(effect="read")
def look(at: str) -> str:
    """Look.

    Args:
        at: at what
    """
    return f"{at} is blue"


@tool
def lose(what: str) -> str:
    """Lose.

    Args:
        what: what
    """
    raise OSError(f"{what} is lost")


SCRIPT: Script = {
    "ada": [["I look.", call("look", at="the sea"), call("lose", what="a key"), call("gone")], "It is blue."],
    "bob": [Overloaded("bob is out", "scripted")],
}


def in_another_thread(work: Callable[[], None]) -> list[BaseException]:
    """What *work* raises when a new thread does it."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as problem:  # noqa: BLE001 -- told to the caller
            raised.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return raised


def a_record(event: e.Event) -> Record:
    """*event*, placed somewhere."""
    text = encode(event.to_json())
    return Record(1, 1_000_000_000.5, "ada", 1, "note", text, GENESIS, "f" * 64, "run-1", None, event)


def an_event(kind: type[e.Event], text: str) -> e.Event:
    """An event of *kind* whose fields hold *text* wherever they can."""
    hints = hints_of(kind)
    return kind(**{field.name: a_value(hints[field.name], text) for field in attrs.fields(kind)})


def a_value(hint: Any, text: str) -> Any:
    """A value of the type *hint*."""
    options = typing.get_args(hint)
    if type(None) in options:
        return None if not text else a_value(next(option for option in options if option is not type(None)), text)
    if hint in (bool, int, float):
        return hint(bool(text))
    if hint is str:
        return text
    if typing.get_origin(hint) is tuple:
        return (text, text) if text else ()
    return {text: [text, None, {}], "n": 1.5}
