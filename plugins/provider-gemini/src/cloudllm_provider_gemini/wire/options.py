"""An agent's options in the wire's terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloudllm_core import Request
from cloudllm_core.errors import BadRequest

from .models import LEVELS, THINKS, generation

OURS = ("model", "contents", "systemInstruction", "tools", "stream")
"""Fields that options may not set: they would contradict the request they travel with."""

BESIDE = ("safetySettings", "toolConfig", "cachedContent", "labels", "serviceTier", "store")
"""Options that stand beside the generationConfig; all others go into it."""

BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
"""Tokens of thinking for each effort, where levels are not known; as Google's OpenAI-compatible API has them."""

_ALIASES = {"maxTokens": "maxOutputTokens", "stop": "stopSequences", "reasoningEffort": "effort"}
_THINKING = ("thinkingBudget", "thinkingLevel", "includeThoughts")


def options_of(request: Request, provider: str, default_effort: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """
    What goes into the generationConfig, and what beside it.

    Names may be written as here or with underscores. An option of None leaves its field out.

    Raises:
        BadRequest: an option names a field that the request itself fills, or an effort that there is not.
    """
    config: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    for written, value in request.options.items():
        name = camel(written)
        name = _ALIASES.get(name, name)
        if name in OURS:
            raise _refused(
                f"the option {written!r} is not an option: the request itself fills that field",
                "Remove it from the agent's options.",
                request,
                provider,
            )
        if name == "generationConfig" and isinstance(value, Mapping):
            config |= value
        elif name in BESIDE or name == "serverTools":
            beside[name] = value
        else:
            config[name] = [value] if name == "stopSequences" and isinstance(value, str) else value
    _think(config, request, provider, default_effort)
    return config, beside


def _think(config: dict[str, Any], request: Request, provider: str, default_effort: str) -> None:
    """Gather what is said about thinking into one field; who asks for thinking gets to see the thoughts."""
    thinking = {name: config.pop(name) for name in _THINKING if name in config}
    asked, model = config.pop("effort", None), generation(request.model)
    if "thinkingConfig" in config:
        return
    said = thinking.get("thinkingBudget") is not None or thinking.get("thinkingLevel") is not None
    effort = asked or (default_effort if model >= THINKS else "")
    if effort and not said:
        thinking |= _effort(effort, model, request, provider)
    if thinking:
        thinking.setdefault("includeThoughts", thinking.get("thinkingBudget") != 0)
        config["thinkingConfig"] = {name: value for name, value in thinking.items() if value is not None}


def _effort(effort: Any, model: float, request: Request, provider: str) -> dict[str, Any]:
    word = str(effort).strip().lower()
    if word == "none":  # some models cannot stop thinking, and refuse to be told so
        return {}
    if word not in BUDGETS:
        raise _refused(
            f"the effort {effort!r} is not known",
            f"Use one of none, {', '.join(BUDGETS)}.",
            request,
            provider,
        )
    return {"thinkingLevel": word.upper()} if model >= LEVELS else {"thinkingBudget": BUDGETS[word]}


def camel(name: str) -> str:
    """``top_p`` as the wire writes it."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def _refused(problem: str, hint: str, request: Request, provider: str) -> BadRequest:
    return BadRequest(problem=problem, provider=provider, model=request.model, hint=hint)
