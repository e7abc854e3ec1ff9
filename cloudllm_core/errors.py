"""
Everything that can go wrong, drawn and told.

* CloudLLMError
  + PluginError                 -- the installation is at fault
    - UnknownNameError          -- nobody offers the name you asked for
    - DuplicateNameError        -- two distributions offer the same name
    - BrokenPluginError         -- a plugin could not be imported, or offers the wrong thing
    - IncompatiblePluginError   -- a plugin was built for another version of the kernel
    - BlockedPluginError        -- a block or allow list keeps the plugin out
  + SetupError                  -- you set something up wrongly
    - SettingsError             -- plain data (a team file, keyword options) is wrong
    - BusyAgentError            -- an agent was asked while it was answering
    - ToolSchemaError           -- a function cannot become a tool
    - ToolConflictError         -- two tools of one agent have the same name
    - HistoryError              -- a history that no provider would accept
  + RunError                    -- the outside world let a run down
    - AgentFailedError          -- an agent's turn failed
    - LimitReachedError         -- rounds, calls or seconds are used up
    - ContextOverflowError      -- a session outgrew its budget and nobody makes room
    - NotCompleteError          -- what `RunResult.require_complete` raises
    - EffectError               -- something a mode did through `Hub.do` failed
    - StoreError                -- a store cannot be reached, or cannot do what it was asked
    - ProviderError             -- a model could not be reached or did not answer properly
      . RateLimited, Overloaded, ConnectionFailed, ProviderTimeout, StreamTruncated   (a retry may mend it)
      . AuthenticationFailed, BadRequest, ContextTooLong, ContentFiltered, BadResponse (a retry will not)
  + ModeError                   -- a mode broke a rule of the kernel
    - ForeignAwaitError         -- it awaited something that is not the hub's
    - ForeignTaskError          -- it called the hub from a task the hub did not start
    - RunOverError              -- it called the hub after the run had ended
    - StuckError                -- everything waits and nothing can happen any more
  + JournalError                -- a journal cannot be written, read or believed
    - DivergenceError           -- a replay left the recorded path
    - TamperedError             -- a record does not match its hash

Errors hold facts as fields; `str()` says what, why and what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs


class CloudLLMError(Exception):
    """Every error that CloudLLM raises on purpose; subclasses say *says*, a format over *self*."""

    says: ClassVar[str] = ""

    def __str__(self) -> str:
        if self.says and attrs.has(type(self)):
            return self.says.format(self=self).rstrip()
        return super().__str__()


def near_miss(word: str, known: tuple[str, ...] | list[str]) -> str:
    """A sentence naming the likely intent behind *word*, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word.lower(), [one.lower() for one in known], n=1, cutoff=0.6)
    return f"Did you mean {next(one for one in known if one.lower() == close[0])!r}?" if close else ""


class PluginError(CloudLLMError):
    """The installation is at fault: a plugin is missing, broken, blocked or doubled."""


@attrs.define(eq=False)
class UnknownNameError(PluginError):
    """Nobody offers the name you asked for."""

    kind: str
    name: str
    installed: tuple[str, ...]
    distribution: str | None = None
    """The distribution that would bring it, when the kernel's catalogue knows one."""

    def __str__(self) -> str:
        known = ", ".join(self.installed) or "none"
        install = f"Install it with: pip install {self.distribution}" if self.distribution else ""
        listing = "See what is installed with: cloudllm plugins list"
        remedy = near_miss(self.name, self.installed) or install or listing
        return f"No {self.kind.replace('_', ' ')} is called {self.name!r} (installed: {known}). {remedy}"


@attrs.define(eq=False)
class DuplicateNameError(PluginError):
    """Two distributions offer the same name."""

    kind: str
    name: str
    distributions: tuple[str, str]
    says = (
        "The {self.kind} {self.name!r} is offered by {self.distributions[0]} and {self.distributions[1]}. "
        "Uninstall one of them, or block one: CLOUDLLM_BLOCK={self.distributions[1]}"
    )


@attrs.define(eq=False)
class BrokenPluginError(PluginError):
    """A plugin could not be imported, or offers something the kernel cannot use."""

    kind: str
    name: str
    distribution: str
    problem: str
    remedy: str = "Repair or uninstall it."
    says = "The {self.kind} {self.name!r} of {self.distribution} {self.problem}. {self.remedy}"


@attrs.define(eq=False)
class IncompatiblePluginError(PluginError):
    """A plugin was built for another version of the kernel."""

    distribution: str
    wants: str
    have: str
    says = (
        "{self.distribution} was built for cloudllm-core {self.wants}, and {self.have} is installed. "
        "Upgrade both: pip install --upgrade cloudllm-core {self.distribution}"
    )


@attrs.define(eq=False)
class BlockedPluginError(PluginError):
    """A block or allow list keeps the plugin out."""

    kind: str
    name: str
    reason: str  # which list it is, as a user would find it
    says = "The {self.kind} {self.name!r} is installed but kept out by {self.reason}. Change that list to use it."


class SetupError(CloudLLMError):
    """You set something up wrongly; nothing has run yet, or nothing was lost."""


@attrs.define(eq=False)
class SettingsError(SetupError):
    """Plain data is wrong: a team file, a table of options, a keyword."""

    where: str
    """The place, outermost first: ``team.toml: agents[2].model``."""

    found: str
    expected: str
    hint: str = ""
    says = "{self.where}: found {self.found}, expected {self.expected}. {self.hint}"


@attrs.define(eq=False)
class BusyAgentError(SetupError):
    """An agent was asked while it was answering."""

    agent: str
    reason: str = "it is answering already in this run"
    says = "Agent {self.agent!r} cannot take a turn now: {self.reason}. Wait for that turn to end, or use a fork."


@attrs.define(eq=False)
class ToolSchemaError(SetupError):
    """A function cannot become a tool."""

    tool: str
    problem: str
    remedy: str
    says = "{self.tool!r} cannot become a tool: {self.problem}. {self.remedy}"


@attrs.define(eq=False)
class ToolConflictError(SetupError):
    """Two tools of one agent have the same name."""

    tool: str
    protocols: tuple[str, str]
    says = (
        "The tool {self.tool!r} comes from {self.protocols[0]} and from {self.protocols[1]}, "
        "and a model could not tell them apart. Give one a prefix: Prefixed({self.protocols[1]}, prefix='...')"
    )


@attrs.define(eq=False)
class HistoryError(SetupError):
    """A history that no provider would accept."""

    index: int
    """Which message, counted from 0."""

    problem: str
    says = "Message {self.index} breaks the history: {self.problem}. Use repair_history() to mend it."


class RunError(CloudLLMError):
    """The outside world let a run down."""


@attrs.define(eq=False)
class AgentFailedError(RunError):
    """An agent's turn failed; its session is as it was, or closed with a note (see `Session`)."""

    agent: str
    problem: str
    says = "Agent {self.agent!r} failed: {self.problem}"


@attrs.define(eq=False)
class LimitReachedError(RunError):
    """Rounds, calls or seconds are used up."""

    limit: str
    """``rounds``, ``calls`` or ``seconds``."""

    allowed: float
    says = "The run reached its limit of {self.allowed:g} {self.limit}. Raise it with Limits({self.limit}=...)."


@attrs.define(eq=False)
class ContextOverflowError(RunError):
    """A session outgrew its budget and nobody makes room."""

    agent: str
    tokens: int
    budget: int
    advice: str
    says = (
        "The session of {self.agent!r} needs about {self.tokens} tokens and its budget is {self.budget}. {self.advice}"
    )


@attrs.define(eq=False)
class NotCompleteError(RunError):
    """A run ended without being complete."""

    run_id: str
    stop_reason: str
    problem: str | None

    def __str__(self) -> str:
        because = f": {self.problem}" if self.problem else ""
        return f"Run {self.run_id} is not complete; it ended with {self.stop_reason!r}{because}"


@attrs.define(eq=False)
class EffectError(RunError):
    """Something a mode did through `Hub.do` failed; raised alike live and in a replay."""

    name: str
    problem: str
    says = "{self.name} failed: {self.problem}"


@attrs.define(eq=False)
class StoreError(RunError):
    """A store cannot be reached, or cannot do what it was asked; nothing is half done."""

    store: str
    problem: str
    says = "The store {self.store} {self.problem}"


@attrs.define(eq=False)
class ProviderError(RunError):
    """A model could not be reached or did not answer properly."""

    problem: str
    provider: str = ""
    model: str = ""
    status: int | None = None
    """The HTTP status, where there was one."""

    request_id: str = ""
    hint: str = ""
    retry_after: float | None = None
    """Seconds the provider asked to wait, if it did."""

    retry_in: float | None = attrs.field(default=None, init=False)  # as `Provider.retry` would have it

    def __str__(self) -> str:
        who = ":".join(part for part in (self.provider, self.model) if part) or "The provider"
        status = f" (HTTP {self.status})" if self.status else ""
        request = f" [request {self.request_id}]" if self.request_id else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{who}{status}: {self.problem}{request}.{hint}"


class RateLimited(ProviderError):
    """Too many requests, or a quota is used up."""


class Overloaded(ProviderError):
    """The provider has too much to do, or failed by itself (5xx)."""


class ConnectionFailed(ProviderError):
    """No connection, or it broke."""


class ProviderTimeout(ProviderError):
    """No answer in time."""


class StreamTruncated(ProviderError):
    """A stream ended without its end; what came of it is not an answer."""


class AuthenticationFailed(ProviderError):
    """The key is missing, wrong or not allowed to do this."""


class BadRequest(ProviderError):
    """The provider refused the request as it stands."""


class ContextTooLong(BadRequest):
    """The request is longer than the model's window."""


class ContentFiltered(ProviderError):
    """A filter of the provider stopped the request or the answer."""


class BadResponse(ProviderError):
    """The answer is not what the provider's API promises."""


class ModeError(CloudLLMError):
    """A mode broke a rule of the kernel; the run that met it fails."""


@attrs.define(eq=False)
class ForeignAwaitError(ModeError):
    """A mode awaited something that is not the hub's."""

    strand: str
    where: str
    says = (
        "{self.strand!r} waits at {self.where} for something the hub does not know, so it could not be replayed. "
        "Instead of asyncio's own, use hub.ask_all or hub.each (gather, tasks), hub.sleep, hub.timeout, "
        "or hub.do(name, function) for files, HTTP and the rest."
    )


@attrs.define(eq=False)
class ForeignTaskError(ModeError):
    """The hub was called from a task it did not start."""

    says = "The hub was called from a task it did not start. Start branches with hub.ask_all or hub.each."


@attrs.define(eq=False)
class RunOverError(ModeError):
    """The hub was called after the run had ended."""

    says = "The run is over; its hub answers no more. Start another run."


@attrs.define(eq=False)
class StuckError(ModeError):
    """Everything waits and nothing can happen any more."""

    waiting: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        who = "; ".join(f"{strand} waits for {what}" for strand, what in self.waiting)
        return f"The run is stuck: {who}. Nothing is under way that could wake any of them."


class JournalError(CloudLLMError):
    """A journal cannot be written, read or believed."""


@attrs.define(eq=False)
class DivergenceError(JournalError):
    """A replay left the recorded path."""

    number: int
    lane: str
    position: int
    recorded: Any
    now: Any
    field: str = ""  # of the first record: which one differs
    says = (
        "The replay diverges at record {self.number} (lane {self.lane!r}, position {self.position}){self.at}: "
        "recorded {self.recorded}; now {self.now}."
    )

    @property
    def at(self) -> str:
        return f" in {self.field}" if self.field else ""


@attrs.define(eq=False)
class TamperedError(JournalError):
    """A record does not match its hash, or does not follow from the one before."""

    source: str
    number: int
    problem: str
    says = "{self.source}: record {self.number} {self.problem}. The journal was changed after it was written."
