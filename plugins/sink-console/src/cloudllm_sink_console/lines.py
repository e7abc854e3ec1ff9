"""From a record to the lines a person reads: pure functions."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from cloudllm_core import Event, Record
from cloudllm_core import events as e

PREVIEW = 100
"""How many characters of a prompt, a result or an argument list are shown."""

WHOLE = 700
"""How many characters of an error are shown: its remedy comes last, and must not be cut off."""

ARGUMENT = 40
"""How many characters of one argument are shown."""

_JOINERS = "\u200c\u200d"
"""Invisible, but scripts and emoji are written with them."""


def lines_for(record: Record, *, verbose: bool = False) -> list[str]:
    """The lines that tell *record*, without line breaks; none if it is of no interest."""
    event = record.event
    told = _tell(event)
    if told is None:
        return [_anything(event)] if verbose else []
    return told


def visible(text: str) -> str:
    """
    *text* on one line that is safe on a terminal.

    What a terminal would obey (control and escape characters, changes of writing direction) is
    written out, so that it can be seen and does nothing; tabs become spaces.
    """
    if text.isprintable():
        return text
    return "".join([_shown(character) for character in text.replace("\t", "    ")])


def shortened(text: str, length: int = PREVIEW) -> str:
    """The beginning of *text* on one line, at most *length* characters."""
    line = visible(" ".join(text[: 4 * length].split()))
    return line if len(line) <= length and len(text) <= 4 * length else line[: length - 3] + "..."


def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode()
    return character  # unusual spaces, and what is newer than this Python's tables


def _tell(event: Event) -> list[str] | None:
    """The lines for what everybody wants to see; None for the rest."""
    match event:
        case e.RunStarted():
            who = ", ".join(map(visible, event.agents))
            return [
                f"== {visible(event.orchestration_name)} ({visible(event.mode)}): {who}",
                f"   {shortened(event.prompt)}",
            ]
        case e.RoundStarted():
            return [f"-- round {event.round}"]
        case e.LLMCallCompleted():
            return _said(event)
        case e.AgentRetried():
            return [f"{visible(event.agent)} tries again in {event.wait:.3g} s (attempt {event.attempt + 1})"]
        case e.ContextCompacted():
            how = "summed up" if event.summary else "cut"
            sizes = f"{event.tokens_before} to {event.tokens_after} tokens"
            return [f"{visible(event.agent)}: the session was {how}, from {sizes}{_after(event.problem)}"]
        case e.ToolCallDetected():
            return [f"{visible(event.agent)} -> {_call(event.tool_name, event.parameters)}"]
        case e.ToolExecutionCompleted():
            told = f"ok{_after(event.result)}" if event.success else f"error{_why(event.error)}"
            return [f"{visible(event.agent)} <- {visible(event.tool_name)} {told}"]
        case e.ToolCallRefused():
            return [f"{visible(event.agent)} <- {visible(event.tool_name)} refused{_why(event.reason)}"]
        case e.SessionExposed():
            return [f"{visible(event.agent)} has read text from outside the team ({visible(event.source)})"]
        case e.AgentHeldBack():
            return [f"{visible(event.agent)} was held back for {event.seconds:.3g} s: others were to go first"]
        case e.ToolMaxIterationsReached():
            return [f"{visible(event.agent)}: no more than {event.allowed} tool calls in a turn; the rest was not run"]
        case e.ApprovalRequested():
            asks = f"{visible(event.agent)} asks to call {_call(event.tool_name, event.parameters)}"
            return [f"{asks}{_why(event.reason)}"]
        case e.ApprovalGiven():
            answer = "may" if event.approved else "may not"
            return [f"{visible(event.agent)} {answer} call {visible(event.tool_name)}{_why(event.reason)}"]
        case e.AgentFailed():
            return [f"{visible(event.agent)} failed{_why(event.error)}"]
        case e.Progress():
            return [f"[{event.done}/{event.total}]"]
        case e.LimitReached():
            return [f"-- limit reached: {event.allowed:g} {visible(event.limit)}"]
        case e.RunCompleted():
            state = "complete" if event.is_complete else "not complete"
            return [f"== {state} ({visible(event.stop_reason)}){_spent(event.rounds, event.total_tokens)}"]
        case e.RunFailed():
            return [f"== failed{_spent(event.rounds, event.total_tokens)}{_why(event.error)}"]
        case e.RunCancelled():
            return [f"== cancelled{_spent(event.rounds, event.total_tokens)}"]
        case _:
            return None


def _said(event: e.LLMCallCompleted) -> list[str]:
    agent = visible(event.agent)
    lines = event.text.replace("\r\n", "\n").strip("\n").split("\n") if event.text.strip() else []
    indent = " " * (len(agent) + 2)
    told = [(f"{agent}: " if not index else indent) + visible(line) for index, line in enumerate(lines)]
    if event.error == "cancelled":
        told.append(f"{agent}: the model call was cancelled")
    elif event.error is not None:
        told.append(f"{agent}: the model call failed{_why(event.error)}")
    elif event.stop not in ("end", "tool_use", "stop_sequence"):
        told.append(f"{agent}: the model stopped early ({visible(event.stop)})")
    return [line.rstrip() for line in told]


def _call(tool: str, arguments: Mapping[str, Any]) -> str:
    told = ", ".join([f"{visible(name)}={_value(value, ARGUMENT)}" for name, value in arguments.items()])
    return f"{visible(tool)}({told if len(told) <= PREVIEW else told[: PREVIEW - 3] + '...'})"


def _value(value: Any, length: int) -> str:
    """*value* as JSON, shortened so that a text's closing quote stays."""
    if isinstance(value, str):
        short = value if len(value) <= length else value[: length - 3] + "..."
        return visible(json.dumps(short, ensure_ascii=False))
    return shortened(json.dumps(value, ensure_ascii=False, default=str), length)


def _after(text: str | None) -> str:
    return f": {shortened(text)}" if text else ""


def _why(text: str | None) -> str:
    """What went wrong, whole: whoever reads it needs the end of it, too."""
    return f": {shortened(text, WHOLE)}" if text else ""


def _spent(rounds: int, tokens: int) -> str:
    return f" after {rounds} round{'' if rounds == 1 else 's'}, {tokens} tokens"


def _anything(event: Event) -> str:
    if isinstance(event, e.UnknownEvent):
        return _call(event.name, event.fields)
    fields = event.to_json()
    fields.pop("event", None)
    return _call(type(event).__name__, fields)
