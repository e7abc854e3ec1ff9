"""
Untrusted text: who has read something from outside the team, and what they must ask for from then on.

Text from the web, a foreign file or a remote tool may hold instructions. Whoever reads it is *exposed*, and
so is whoever hears them, and whoever reads what they wrote. An exposed session asks before it uses a tool
that could carry something out of the team.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from ._contracts import ToolDefinition
from ._messages import Json
from ._settings import Configurable
from ._tool import NEEDS
from .errors import SettingsError, near_miss

Approve = Callable[..., Any]
"""Asked with agent, tool, arguments and, if it takes four, why; gives True, or False or a reason. May be async."""

NOBODY = "{why}, and nobody is there to allow it (set approver=)"
BY = " by way of "


def _words(words: Iterable[str]) -> frozenset[str]:
    return frozenset([words] if isinstance(words, str) else words)


def _known(_: object, __: object, words: frozenset[str]) -> None:
    for word in sorted(words - set(NEEDS)):
        raise SettingsError("policy.ask", repr(word), f"one of {', '.join(NEEDS)}", near_miss(word, NEEDS))


@attrs.frozen(kw_only=True)
class Policy(Configurable):
    """
    What an exposed session must ask for, and whose results expose nobody.

    Subclass it for rules of your own; `why` is a pure function.
    """

    name = "policy"

    ask: frozenset[str] = attrs.field(
        default=frozenset({"network", "outside", "processes", "secrets"}), converter=_words, validator=_known
    )
    """Needs of tools; a call of a tool with one of them is asked for. With none, nothing is."""

    trust: frozenset[str] = attrs.field(default=frozenset(), converter=_words)
    """Tools, or whole protocols, by name, whose results count as the team's own."""

    def why(self, tool: ToolDefinition, source: str) -> str | None:
        """Why a session that was exposed by *source* must ask before it calls *tool*; None if it need not."""
        needs = [need for need in tool.needs if need in self.ask]
        if not needs:
            return None
        return f"it needs {' and '.join(needs)}, and this session has read text from outside the team ({source})"

    def to_json(self) -> dict[str, Json]:
        return {"ask": sorted(self.ask), "trust": sorted(self.trust)}


@attrs.define(eq=False)
class Exposure:
    """What one run knows of text from outside: where exposed agents have left some."""

    policy: Policy = attrs.Factory(Policy)
    places: dict[str, str] = attrs.Factory(dict)
    """Protocols, and ``files``, that an exposed agent wrote to; and what had exposed it."""

    mode: str = ""
    """What had exposed the first exposed agent that told the mode something."""

    said: set[str] = attrs.Factory(set)
    """What the mode said while nobody could have put words into its mouth."""

    def of_result(self, tool: ToolDefinition, protocol: str) -> str:
        """What a result of *tool* exposes its reader to; empty if to nothing."""
        if {tool.name, protocol} & self.policy.trust:
            return ""
        if tool.untrusted:
            return tool.name
        if tool.effect == "composite":
            return self.mode
        return next((self.places[place] for place in _places(tool, protocol) if place in self.places), "")

    def of_mode(self, texts: Iterable[str | None]) -> str:
        """What the mode's own *texts* expose their reader to."""
        new = {text for text in texts if text} - self.said
        if not self.mode:
            self.said |= new
        return self.mode if new else ""

    def wrote(self, tool: ToolDefinition, protocol: str, source: str) -> None:
        """A session that was exposed by *source* has called *tool*."""
        if tool.effect == "composite":
            self.mode = self.mode or source
        elif tool.effect != "read":
            for place in _places(tool, protocol):
                self.places.setdefault(place, source)


def _places(tool: ToolDefinition, protocol: str) -> list[str]:
    return [protocol, "files"] if "files" in tool.needs else [protocol]


def by_way_of(source: str, agent: str) -> str:
    """*source*, as the hearers of *agent* are exposed to it."""
    return f"{source.partition(BY)[0]}{BY}{agent}" if source else ""


async def consult(approver: Approve | None, agent: str, tool: str, arguments: Mapping[str, Any], why: str) -> Any:
    """What *approver* says: ``approved``, true or false, and a ``reason`` or None."""
    if approver is None:
        return {"approved": False, "reason": NOBODY.format(why=why)}
    asked = (agent, tool, arguments, why) if _takes_why(approver) else (agent, tool, arguments)
    answer = approver(*asked)
    if inspect.isawaitable(answer):
        answer = await answer
    return {"approved": answer is True, "reason": answer if isinstance(answer, str) else None}


def _takes_why(approver: Approve) -> bool:
    try:
        inspect.signature(approver).bind("agent", "tool", {}, "why")
    except (TypeError, ValueError):
        return False
    return True
