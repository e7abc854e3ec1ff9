"""
What happens in a run: events, the records that place them, and signals that only pass by.

An `Event` says what happened. A `Record` says where and when: in which lane, as its how-manieth
record, at which time, bound to the record before by hash. A mode's own events live in its plugin.
A `Signal` (a token, a heartbeat) is neither numbered nor kept.

Effects need no event objects of their own: the records of a model or tool call *are* their start
and end, and `Record.event` shows them under the names that users know (`LLMCallStarted`,
`ToolExecutionCompleted` ...).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ._messages import Json, JsonObject


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened. Subclass it in your plugin; fields are plain JSON values or tuples of them."""

    def to_json(self) -> dict[str, Json]:
        """The event's name and fields, as the journal keeps them."""
        body: dict[str, Json] = {"event": type(self).__name__}
        for field in self.__attrs_attrs__:
            body[field.name] = getattr(self, field.name)
        return body


@attrs.frozen(kw_only=True)
class UnknownEvent(Event):
    """An event read from a journal whose class is not loaded here."""

    name: str
    fields: Mapping[str, Json]


# -- a run --------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class RunStarted(Event):
    """A run begins; always record 1."""

    run_id: str
    orchestration_name: str
    mode: str
    agents: tuple[str, ...]
    prompt: str

    @property
    def agent_count(self) -> int:
        return len(self.agents)


@attrs.frozen(kw_only=True)
class RunCompleted(Event):
    """A run came to its end; *is_complete* says whether it reached what its mode promises."""

    orchestration_name: str
    rounds: int
    total_tokens: int
    is_complete: bool
    stop_reason: str
    score: float | None = None


@attrs.frozen(kw_only=True)
class RunFailed(Event):
    """A run ended by an error."""

    error: str
    rounds: int
    total_tokens: int


@attrs.frozen(kw_only=True)
class RunCancelled(Event):
    """A run was told to stop, and has."""

    rounds: int
    total_tokens: int


@attrs.frozen(kw_only=True)
class LimitReached(Event):
    """A limit refused something."""

    limit: str
    allowed: float


@attrs.frozen(kw_only=True)
class RoundStarted(Event):
    round: int
    """Counts from 1."""


@attrs.frozen(kw_only=True)
class RoundCompleted(Event):
    round: int
    complete: bool = True
    """False if the round was left early, by an error or a cancellation."""


@attrs.frozen(kw_only=True)
class Progress(Event):
    """How far a run is, for bars."""

    done: int
    total: int


@attrs.frozen(kw_only=True)
class InputTaken(Event):
    """Something came from outside: a cancellation, a timer."""

    what: str
    scope: str | None = None


# -- an agent -----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AgentEvent(Event):
    """Something that happened to one agent."""

    agent: str

    @property
    def agent_id(self) -> str:
        return self.agent

    @property
    def agent_name(self) -> str:
        return self.agent


@attrs.frozen(kw_only=True)
class AgentSelected(AgentEvent):
    """It is an agent's turn."""

    reason: str


@attrs.frozen(kw_only=True)
class AgentResponded(AgentEvent):
    """An agent's turn ended with an answer; its text is in the last `LLMCallCompleted` of the turn."""

    tokens_used: int | None
    response_length: int


@attrs.frozen(kw_only=True)
class AgentFailed(AgentEvent):
    """A turn broke off; its cost counts all the same."""

    error: str
    tokens_used: int
    kept: bool = False
    """True if a `write` tool had completed, so that the turn was closed with a note instead of discarded."""


@attrs.frozen(kw_only=True)
class SendStarted(AgentEvent):
    """An agent is told something and begins its turn."""

    message: str
    """What joins the session: the news from others and the prompt."""

    note: str | None = None
    """What goes with this turn only."""

    @property
    def message_preview(self) -> str:
        return self.message.replace("\n", " ")[:120]


@attrs.frozen(kw_only=True)
class SendCompleted(AgentEvent):
    """A turn ended with an answer."""

    tokens_used: int | None
    tool_calls_made: int
    response_length: int


@attrs.frozen(kw_only=True)
class LLMCallStarted(AgentEvent):
    iteration: int
    """Counts the model calls of one turn from 1."""

    model: str


@attrs.frozen(kw_only=True)
class LLMCallCompleted(AgentEvent):
    iteration: int
    model: str
    tokens_used: int | None
    text: str
    tool_calls: int
    stop: str
    error: str | None = None

    @property
    def response_length(self) -> int:
        return len(self.text)


@attrs.frozen(kw_only=True)
class AgentRetried(AgentEvent):
    """A model call failed, and will be made again."""

    attempt: int
    """Which attempt failed, from 1."""

    wait: float
    """Seconds until the next one."""

    error: str


@attrs.frozen(kw_only=True)
class AgentHeldBack(AgentEvent):
    """A model call that has been answered was held back before it was sent: others were to go first."""

    seconds: float


@attrs.frozen(kw_only=True)
class ToolCallDetected(AgentEvent):
    """A model asked for a tool, and the call begins."""

    tool_name: str
    parameters: JsonObject
    iteration: int
    call_id: str


@attrs.frozen(kw_only=True)
class ToolExecutionCompleted(AgentEvent):
    tool_name: str
    parameters: JsonObject
    iteration: int
    call_id: str
    success: bool
    result: str | None
    error: str | None


@attrs.frozen(kw_only=True)
class ToolCallRefused(AgentEvent):
    """A call was answered without being made: unknown, unreadable, wrong arguments, over the limit, not approved."""

    tool_name: str
    parameters: JsonObject
    iteration: int
    call_id: str
    reason: str


@attrs.frozen(kw_only=True)
class ToolMaxIterationsReached(AgentEvent):
    """A turn asked for more calls than it may make; the calls beyond *allowed* were answered, not run."""

    allowed: int


@attrs.frozen(kw_only=True)
class SessionExposed(AgentEvent):
    """An agent has read text from outside the team; what could carry something out must be approved from now on."""

    source: str
    """The tool, and the agent whose words brought it."""


@attrs.frozen(kw_only=True)
class ApprovalRequested(AgentEvent):
    tool_name: str
    parameters: JsonObject
    reason: str = ""
    """Why a person must allow it."""


@attrs.frozen(kw_only=True)
class ApprovalGiven(AgentEvent):
    """The answer to `ApprovalRequested`; *approved* may be false."""

    tool_name: str
    approved: bool
    reason: str | None = None


@attrs.frozen(kw_only=True)
class ProtocolAdded(AgentEvent):
    protocol_name: str


@attrs.frozen(kw_only=True)
class ProtocolRemoved(AgentEvent):
    protocol_name: str


@attrs.frozen(kw_only=True)
class SystemPromptSet(AgentEvent):
    pass


@attrs.frozen(kw_only=True)
class MessageReceived(AgentEvent):
    """Something was put into a session without a turn."""


@attrs.frozen(kw_only=True)
class Forked(AgentEvent):
    pass


@attrs.frozen(kw_only=True)
class ForkedWithContext(AgentEvent):
    pass


@attrs.frozen(kw_only=True)
class HistoryRepaired(AgentEvent):
    """A session was not legal (it came from elsewhere) and was mended."""

    repairs: tuple[str, ...]


@attrs.frozen(kw_only=True)
class ForeignPartsDropped(AgentEvent):
    """The session holds private parts (thoughts, traces) of another provider, which this one is not shown."""

    provider: str
    """Who is asked now."""

    parts: int
    """How many, of those not announced before."""


@attrs.frozen(kw_only=True)
class ContextCompacted(AgentEvent):
    """A strategy made room in a session."""

    strategy: str
    kept_from: int
    """The cut: messages of the session from this index on were kept, and the task."""

    tokens_before: int
    tokens_after: int
    summary: bool = False
    """Whether a summary took the place of what went."""

    problem: str | None = None
    """Why there is no summary, where one was wanted."""


@attrs.frozen(kw_only=True)
class ThoughtCommitted(AgentEvent):
    """An agent's thought chain grew."""

    thought_type: str
    index: int


# -- other effects ------------------------------------------------------------


@attrs.frozen(kw_only=True)
class EffectStarted(Event):
    """Something a mode does through the hub begins."""

    name: str
    effect: str


@attrs.frozen(kw_only=True)
class EffectFinished(Event):
    name: str
    outcome: str
    """``ok``, ``error`` or ``cancelled``."""


@attrs.frozen(kw_only=True)
class Did(Event):
    """An instant effect: the clock, an in-process store."""

    name: str
