"""An agent's options as the API takes them: the common ones translated, those it does not know refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OURS = ("model", "messages", "system", "stream", "tools")
"""Fields that options may not set: they would contradict the request they travel with."""

SAMPLING = ("temperature", "top_p", "top_k")
"""Taken by API versions before 2026-10-21, and by other servers."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_UNKNOWN = {
    "seed": "The API has no seeds; remove it.",
    "n": "Ask several times instead.",
    "logprobs": "The API does not tell them; remove it.",
    "top_logprobs": "The API does not tell them; remove it.",
    "logit_bias": "Remove it.",
    "frequency_penalty": "Remove it, or ask for variety in the instructions.",
    "presence_penalty": "Remove it, or ask for variety in the instructions.",
    "response_format": "Use the agent's output=, which takes a type.",
    "max_completion_tokens": "Call it max_tokens.",
    "max_output_tokens": "Call it max_tokens.",
    "parallel_tool_calls": 'Write tool_choice={"type": "auto", "disable_parallel_tool_use": True}.',
}
"""What other APIs have, and what to do here."""

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 12_288, "xhigh": 15_360, "max": 15_360}
"""Tokens of thought for models that know no effort; with the default cap below the 32,000 that Opus 4 may say."""

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?!\d)")


class Refused(ValueError):
    """An option that cannot be sent: what is wrong, and what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def version_of(model: str) -> tuple[int, int] | None:
    """The version in a model's name (``claude-sonnet-4-6``, ``claude-3-7-sonnet-latest``), if it has one."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


LEAST_BUDGET = 1024
"""Tokens of thought that the API takes at least."""


def translated(options: Mapping[str, Any], model: str, cap: int, sampling: bool, effort: str = "") -> dict[str, Any]:
    """
    The fields that *options* set; *effort* is the user's general wish, which an agent's own goes before.

    ``stop`` becomes ``stop_sequences``, ``effort`` and ``reasoning_effort`` become what the model knows,
    and ``max_tokens``, which the API insists on, is *cap* where it is missing, beside a budget of thought.

    Raises:
        Refused: the API does not take an option.
    """
    fields = dict(options)
    for name in fields:
        if name in OURS:
            raise Refused(
                f"the option {name!r} is not an option: the request itself fills that field",
                "Remove it from the agent's options.",
            )
        if name in _UNKNOWN:
            raise Refused(f"the option {name!r} is unknown to the Messages API", _UNKNOWN[name])
        if name in SAMPLING and not sampling:
            raise Refused(
                f"the option {name!r} is gone from the Messages API since version 2026-10-21",
                'Remove it; for a model from before, set headers={"anthropic-version": "2023-06-01"}.',
            )
    if "stop" in fields:
        stop = fields.pop("stop")
        fields.setdefault("stop_sequences", [stop] if isinstance(stop, str) else stop)
    asked = [fields.pop(name) for name in ("effort", "reasoning_effort") if name in fields]
    _think(fields, asked[0] if asked else effort, model)
    thinking = fields.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    fields.setdefault("max_tokens", cap + (budget if type(budget) is int else 0))
    return fields


def capped(fields: dict[str, Any], most: int | None) -> None:
    """Let an answer have *most* tokens at most; a budget of thought, which is part of them, gives way."""
    if most is None or (type(fields.get("max_tokens")) is int and fields["max_tokens"] <= most):
        return
    fields["max_tokens"] = most
    thinking = fields.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    if isinstance(thinking, Mapping) and type(budget) is int and budget >= most:
        if most // 2 >= LEAST_BUDGET:
            fields["thinking"] = {**thinking, "budget_tokens": most // 2}
        else:
            del fields["thinking"]


def _think(fields: dict[str, Any], effort: Any, model: str) -> None:
    """Add what *effort* means for *model*, unless the options say it in the API's own words."""
    word = effort.lower() if isinstance(effort, str) else effort
    if not word or word == "none":
        return
    if word not in EFFORTS:
        raise Refused(f"{effort!r} is no effort of thought", f"Choose among {', '.join(EFFORTS)}.")
    version = version_of(model)
    if version is not None and version < (4, 6):
        fields.setdefault("thinking", {"type": "enabled", "budget_tokens": _BUDGETS[word]})
        return
    fields.setdefault("thinking", {"type": "adaptive", "display": "summarized"})
    config = fields.get("output_config")
    fields["output_config"] = {"effort": "low" if word == "minimal" else word} | dict(config or {})
