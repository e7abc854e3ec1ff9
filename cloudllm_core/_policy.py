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

from ._contracts import Effect, ToolDefinition, ToolProtocol
from ._messages import Json
from ._settings import Configurable
from ._tool import NEEDS
from .errors import SettingsError, near_miss

Approve = Callable[..., Any]
"""Asked with agent, tool, arguments and, if it takes four, why; gives True, or False or a reason. May be async."""

NOBODY = "{why}, and nobody is there to allow it (set approver=)"
BY = " by way of "
ANYWHERE = "*"
"""The place of what a mode wrote: any tool may read it."""


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
    """Tools, or whole protocols, wrapped ones too, by name, whose results count as the team's own."""

    def why(self, tool: ToolDefinition, source: str) -> str | None:
        """Why a session that was exposed by *source* must ask before it calls *tool*; None if it need not."""
        needs = [need for need in tool.needs if need in self.ask]
        if not needs:
            return None
        return f"it needs {' and '.join(needs)}, and this session has read text from outside the team ({source})"

    def check(self, names: Iterable[str]) -> None:
        """
        Raises:
            SettingsError: something is trusted that is called like one of *names*, of tools and their sources, but
            for a slip. What is called like none may come during the run.
        """
        known = sorted(set(names))
        for word in sorted(self.trust.difference(known)):
            if near := near_miss(word, known):
                raise SettingsError("policy.trust", repr(word), "a tool or a tool protocol of this team", near)

    def to_json(self) -> dict[str, Json]:
        return {"ask": sorted(self.ask), "trust": sorted(self.trust)}


@attrs.define(eq=False)
class Exposure:
    """What one run knows of text from outside: where exposed agents have left some."""

    policy: Policy = attrs.Factory(Policy)
    places: dict[str, str] = attrs.Factory(dict)
    """Protocols, and ``files``, that text from outside was written to; and where it came from."""

    mode: str = ""
    """What exposes those whom the mode tells something new; empty as long as nothing has reached it."""

    said: set[str] = attrs.Factory(set)
    """What the mode said while nobody could have put words into its mouth."""

    def of_result(self, tool: ToolDefinition, protocol: ToolProtocol) -> str:
        """What a result of *tool* exposes its reader to; empty if to nothing."""
        names = sources_of(protocol)
        if {tool.name, *names} & self.policy.trust:
            return ""
        if tool.untrusted:
            return tool.name
        if tool.effect == "composite":
            return self.mode
        return next((self.places[place] for place in (*_places(tool, names), ANYWHERE) if place in self.places), "")

    def of_mode(self, texts: Iterable[str | None]) -> str:
        """What the mode's own *texts* expose their reader to."""
        new = {text for text in texts if text} - self.said
        if not self.mode:
            self.said |= new
        return self.mode if new else ""

    def begins(self, tool: ToolDefinition, protocol: ToolProtocol, source: str) -> None:
        """A session that *source* had exposed, if it is not empty, calls *tool*: from now on others may read it."""
        source = source or (self.of_result(tool, protocol) if tool.untrusted else "")  # a download leaves a file
        if not source or tool.effect == "read":
            return
        if tool.effect == "composite":
            self.mode = self.mode or source
        else:
            for place in _places(tool, sources_of(protocol)):
                self.places.setdefault(place, source)

    def acts(self, effect: Effect) -> None:
        """The mode does something of its own: it may write what it was told, and read what was written."""
        if self.mode and effect != "read":
            self.places.setdefault(ANYWHERE, self.mode)
        self.mode = self.mode or next(iter(self.places.values()), "")


def sources_of(protocol: ToolProtocol) -> list[str]:
    """The names of *protocol* and of those it wraps: what is written through one is read through another."""
    inner = getattr(protocol, "inner", None)
    return [protocol.name, *(sources_of(inner) if isinstance(inner, ToolProtocol) else ())]


def _places(tool: ToolDefinition, names: list[str]) -> list[str]:
    return [*names, "files"] if "files" in tool.needs else names


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
