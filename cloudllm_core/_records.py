"""Records: events, placed; and the names under which users know the records of effects."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import attrs

from . import _events as events
from ._events import Event
from ._messages import Json

Kind: TypeAlias = Literal["started", "finished", "did", "input", "note"]


@attrs.define(eq=False)
class Record:
    """
    An event, placed.

    Records of a run are numbered from 1 without gaps; each carries the hash of the one before.
    """

    number: int
    at: float
    """Seconds since 1970-01-01 UTC, by the clock of the machine that ran the run."""

    lane: str
    """``run``, an agent's name, or a path below one of them."""

    position: int
    """The how-manieth effect of its lane this record belongs to."""

    kind: Kind
    text: str
    """The body, as JSON."""

    previous: str
    hash: str
    run_id: str = ""
    opened: Record | None = None
    """Of a ``finished`` record: the ``started`` it ends."""

    _event: Event | None = None

    @property
    def body(self) -> dict[str, Json]:
        """What the record holds, decoded afresh: yours to keep."""
        body: dict[str, Json] = json.loads(self.text)
        return body

    @property
    def time(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.at, dt.UTC)

    @property
    def event(self) -> Event:
        """What happened, under the name that users know."""
        if self._event is None:
            self._event = _view(self)
        return self._event


def _view(record: Record) -> Event:
    body = record.body
    match record.kind:
        case "note":
            return read_event(body)
        case "input":
            return _input(body)
        case "did":
            return events.Did(name=body["name"])
        case "started":
            return _started(record, body)
        case _:
            return _finished(record, body)


def _subclasses(base: type[Event]) -> Iterator[type[Event]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def read_event(body: dict[str, Json]) -> Event:
    """The event that `Event.to_json` wrote. Slotted twins left behind by attrs come first: the last one wins."""
    name, fields = body["event"], {key: value for key, value in body.items() if key != "event"}
    found = [cls for cls in _subclasses(Event) if cls.__name__ == name]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    for cls in reversed(found):  # two plugins may call their events alike
        try:
            return cls(**values)
        except TypeError:
            continue
    return events.UnknownEvent(name=name, fields=fields)


def _input(body: dict[str, Json]) -> Event:
    match body["what"]:
        case "start":
            return events.RunStarted(
                run_id=body["run_id"],
                orchestration_name=body["orchestration"],
                mode=body["mode"],
                agents=tuple(agent["name"] for agent in body["agents"]),
                prompt=body["prompt"],
            )
        case "tools":
            cls = events.ProtocolAdded if body["added"] else events.ProtocolRemoved
            return cls(agent=body["agent"], protocol_name=body["protocol"])
        case what:
            return events.InputTaken(what=what, scope=body.get("scope"))


def _agent(record: Record) -> str:
    return record.lane.partition("/")[0]


def _started(record: Record, body: dict[str, Json]) -> Event:
    request = body["request"]
    match body["name"]:
        case "model":
            return events.LLMCallStarted(agent=_agent(record), iteration=request["iteration"], model=request["model"])
        case "tool":
            return events.ToolCallDetected(
                agent=_agent(record),
                tool_name=request["tool"],
                parameters=request["arguments"],
                iteration=request["iteration"],
                call_id=request["call_id"],
            )
        case "approval":
            about = {"tool_name": request["tool"], "parameters": request["arguments"]}
            return events.ApprovalRequested(agent=_agent(record), **about, reason=request.get("why", ""))
        case name:
            return events.EffectStarted(name=request["name"] if name == "do" else name, effect=body["class"])


def _finished(record: Record, body: dict[str, Json]) -> Event:
    opened = record.opened
    if opened is None:
        return events.EffectFinished(name="?", outcome=body["outcome"])
    start = opened.body
    outcome, value, request = body["outcome"], body["value"], start["request"]
    problem = None if outcome == "ok" else str(value["message"] if value else outcome)
    match start["name"]:
        case "model":
            return _llm_completed(_agent(record), request, value if outcome == "ok" else None, problem)
        case "tool":
            content = value["content"] if outcome == "ok" else None
            failed = outcome != "ok" or value["is_error"]
            return events.ToolExecutionCompleted(
                agent=_agent(record),
                tool_name=request["tool"],
                parameters=request["arguments"],
                iteration=request["iteration"],
                call_id=request["call_id"],
                success=not failed,
                result=None if failed else content,
                error=(problem or content) if failed else None,
            )
        case "approval":
            given: dict[str, Any] = value if outcome == "ok" else {"approved": False, "reason": problem}
            return events.ApprovalGiven(
                agent=_agent(record), tool_name=request["tool"], approved=given["approved"], reason=given["reason"]
            )
        case name:
            return events.EffectFinished(name=request["name"] if name == "do" else name, outcome=outcome)


def _llm_completed(agent: str, request: dict[str, Any], value: dict[str, Any] | None, problem: str | None) -> Event:
    parts = value["message"]["parts"] if value else []
    usage = value["usage"] if value else None
    return events.LLMCallCompleted(
        agent=agent,
        iteration=request["iteration"],
        model=request["model"],
        tokens_used=usage and usage["input"] + usage["output"] + usage["cache_read"] + usage["cache_write"],
        text="\n".join(part["text"] for part in parts if part["type"] == "text"),
        tool_calls=sum(part["type"] == "tool_call" for part in parts),
        stop=value["stop"] if value else "error",
        error=problem,
    )
