"""Signals: what passes by while a run goes on (a token, a wait), neither numbered nor kept."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Signal:
    """Something passing by: neither numbered nor kept, and never seen by a mode."""

    agent: str
    lane: str
    position: int
    """Which model call it belongs to, as in that call's records."""

    attempt: int = 1
    """A retried call starts again; text of an earlier attempt is void."""


@attrs.frozen(kw_only=True)
class LLMContentDelta(Signal):
    text: str


@attrs.frozen(kw_only=True)
class LLMReasoningDelta(Signal):
    text: str


@attrs.frozen(kw_only=True)
class LLMWaiting(Signal):
    """A model call is under way and has said nothing for a while: it waits in a gate, or thinks."""

    seconds: float
    """Since the call began."""
