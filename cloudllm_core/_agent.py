"""
Agents: a name, instructions, a model, a session and tools; something that can be asked.
"""

from __future__ import annotations

import copy
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeVar, overload

import attrs

from ._calls import Member, price
from ._contracts import Provider, ToolProtocol
from ._events import (
    Event,
    Forked,
    ForkedWithContext,
    HistoryRepaired,
    MessageReceived,
    ProtocolAdded,
    ProtocolRemoved,
    SystemPromptSet,
    ThoughtCommitted,
)
from ._identity import introduced, names_of, remembered, tools_named
from ._limits import Limits
from ._messages import Json, Message, Reply
from ._output import Shape
from ._policy import Approve, Exposure, Policy
from ._portal import portal
from ._registry import Registry, default_registry
from ._run import Run
from ._secrets import Redaction, Secret, secrets_in
from ._session import Session
from ._signals import LLMContentDelta
from ._solo import alone, reply_of
from ._strategies import ContextStrategy
from ._thoughts import Thought, ThoughtChain
from ._threads import in_thread
from ._toolbox import Toolbox, protocols_of
from .errors import BusyAgentError, SettingsError, SetupError

T = TypeVar("T")

FORBIDDEN = frozenset('/:"\\')
"""Characters an agent's name may not have: they mean something in lanes, transcripts and journals."""


def _check_name(_: object, __: object, name: str) -> None:
    wrong = sorted({char for char in name if char in FORBIDDEN or not char.isprintable()})
    if not name.strip() or name == "run" or wrong:
        found = f"{name!r} with {wrong[0]!r} in it" if wrong else repr(name)
        raise SettingsError("name", found, "a name without / : \" \\ and control characters, other than 'run'")


@attrs.define(eq=False, init=False)
class Agent:
    """
    Something that can be asked.

    Alone, `send` gives it a turn; in an `Orchestration`, a mode does. Its session is lent to one run
    at a time.
    """

    name: str = attrs.field(validator=_check_name)
    model: str
    """The model's name, as its provider knows it."""

    provider: Provider
    instructions: str
    expertise: str
    personality: str
    metadata: dict[str, Json]
    options: dict[str, Json]
    """Passed to the provider with every request (temperature ...)."""

    strategy: ContextStrategy | None
    thoughts: ThoughtChain | None
    shape: Shape | None
    max_tool_calls: int
    """Per turn."""

    max_output: int | None

    limits: Limits
    approver: Approve | None
    policy: Policy
    """These three are for `send`; in an orchestration, its own count."""

    toolbox: Toolbox
    session: Session
    registry: Registry
    parts: list[tuple[Run, Member]]
    """Its part in each run under way."""

    waiting: list[Event]
    _environment: list[Secret]

    def __init__(
        self,
        name: str,
        model: str | Provider | Mapping[str, Any],
        instructions: str = "",
        *,
        expertise: str = "",
        personality: str = "",
        metadata: Mapping[str, Json] | None = None,
        tools: Iterable[Any] = (),
        strategy: ContextStrategy | str | Mapping[str, Any] | None = None,
        thoughts: ThoughtChain | str | Mapping[str, Any] | None = None,
        output: Any = None,
        options: Mapping[str, Json] | None = None,
        max_tokens: int = 128_000,
        max_tool_calls: int = 25,
        max_output: int | None = None,
        limits: Limits | None = None,
        approver: Approve | None = None,
        policy: Policy | None = None,
        registry: Registry | None = None,
    ) -> None:
        """
        Args:
            name: unique in an orchestration; others see it before what the agent says.
            model: ``provider:model``, a mapping ``{"name": "provider:model", **settings}``, or a `Provider`.
            instructions: the agent's own; kept in every run.
            tools: functions with `@tool`, tool protocols, or the names of installed ones.
            strategy: what to do when the session is too long; a name or a `ContextStrategy`.
            thoughts: the agent's own notes across runs; a name or a `ThoughtChain`.
            output: the type of its answers: an attrs class, a TypedDict, a pydantic model, ``list[str]`` ...
                `Reply.output` is one; an answer that is none may be repaired once, then the turn fails.
            max_tokens: budget of the session, instructions and tool schemas included.
            max_tool_calls: how many calls one turn may make.
            max_output: how many tokens one answer of the model may have; None leaves it to the provider.
            limits, approver, policy: for `send`, as in an `Orchestration`.

        Raises:
            SettingsError, UnknownNameError, ToolConflictError: something here is wrong.
        """
        registry = registry or default_registry()
        provider, model_name = registry.resolve_provider(model)
        if max_tokens < 1 or max_tool_calls < 0 or (max_output is not None and max_output < 1):
            found = f"max_tokens={max_tokens}, max_tool_calls={max_tool_calls}"
            raise SettingsError(f"Agent {name!r}", found, "positive numbers")
        self.__attrs_init__(
            name=name,
            model=model_name or provider.name,
            provider=provider,
            instructions=instructions,
            expertise=expertise,
            personality=personality,
            metadata=dict(metadata or {}),
            options=dict(options or {}),
            strategy=None if strategy is None else registry.build("context_strategy", strategy),
            thoughts=None,
            shape=None if output is None else Shape.of(output),
            max_tool_calls=max_tool_calls,
            max_output=max_output,
            limits=limits or Limits(),
            approver=approver,
            policy=policy or Policy(),
            toolbox=Toolbox.of(protocols_of(tools_named(registry, tools))),
            session=Session(max_tokens),
            registry=registry,
            parts=[],
            waiting=[],
            environment=secrets_in(os.environ),
        )
        if thoughts is not None:
            self.thoughts = registry.build("thought_chain", thoughts).for_agent(self.identity)

    @classmethod
    def resume_from_latest(
        cls,
        thoughts: ThoughtChain,
        model: str | Provider | Mapping[str, Any] | None = None,
        *,
        tools: Iterable[Any] = (),
        registry: Registry | None = None,
        **options: Any,
    ) -> Agent:
        """
        The agent that last wrote to *thoughts*, told the context of its last thought.

        Args:
            model: instead of the one it had.
            tools: those it had that are not plugins' protocols, and others; names are looked up by themselves.
            options: of `Agent`, instead of what it was (``name``, ``instructions`` ...).

        Raises:
            SetupError: there is nothing to resume from, or a tool it had is not to be had.
        """
        registry = registry or default_registry()
        was = remembered(thoughts, registry, tools, options if model is None else options | {"model": model})
        agent, last = cls(**was, thoughts=thoughts, registry=registry), thoughts.thoughts[-1].index
        agent.session.receive(thoughts.to_bootstrap_prompt(last), thoughts.exposed(last))
        return agent

    # -- alone ----------------------------------------------------------------

    async def send(self, text: str) -> Reply:
        """
        Give the agent a turn of its own, in a run of its own: the same guarantees as in a team.

        Raises:
            BusyAgentError: a run holds the session. AgentFailedError: the turn failed.
            LimitReachedError: the agent's own limits.
        """
        return reply_of(await self._begin(text, self.session))

    def send_sync(self, text: str) -> Reply:
        """As `send`, for scripts and notebooks."""
        return portal().call(lambda: self.send(text))

    async def stream(self, text: str) -> AsyncIterator[str]:
        """As `send`, yielding the answer's text as it comes; leaving the loop early cancels the turn."""
        async with self._begin(text, self.session) as run:
            async for signal in run.signals():
                if isinstance(signal, LLMContentDelta):
                    yield signal.text
            reply_of(await run)

    @overload
    async def generate(self, text: str) -> str: ...

    @overload
    async def generate(self, text: str, output: type[T]) -> T: ...

    async def generate(self, text: str, output: Any = None) -> Any:
        """The answer to *text* alone, as an *output* if that is given: the session is neither read nor changed."""
        asked = self if output is None else copy.copy(self)
        if output is not None:
            asked.shape, asked.parts, asked.waiting = Shape.of(output), [], []
        reply = reply_of(await asked._begin(text, Session(self.session.max_tokens)))
        return reply.text if output is None else reply.output

    def _begin(self, text: str, session: Session) -> Run:
        if not text.strip():
            raise SetupError("The message is empty. Say something.")
        member = self.member(session, approver=self.approver)
        member.exposure = Exposure(self.policy)
        price([member], self.registry.prices(None, wanted=self.limits.cost is not None), self.limits)
        if session is self.session:
            if session.holder is not None:
                raise BusyAgentError(self.name, "a run holds its session")
            session.holder = self

        def let_go(run: Run) -> None:
            session.holder = None
            self.parts.remove((run, member))

        try:
            run = alone(member, text, self.limits, let_go, Redaction(self.secrets()))
        except BaseException:
            session.holder = None
            raise
        run.spine.on_input = member.take_tools
        self.waiting.clear()
        self.parts.append((run, member))
        return run

    # -- session --------------------------------------------------------------

    @property
    def session_history_len(self) -> int:
        """How many messages the session holds."""
        return len(self.session.messages)

    def receive_message(self, text: str, exposed: str = "") -> None:
        """Put *text*, from outside the team if *exposed* says whence, into the session. Raises: BusyAgentError."""
        self._free_session().receive(text, exposed)
        self.waiting.append(MessageReceived(agent=self.name))

    def set_system_prompt(self, text: str) -> None:
        """Replace the instructions, from the next run on."""
        self.instructions = text
        self.waiting.append(SystemPromptSet(agent=self.name))

    def restore(self, messages: Iterable[Message]) -> list[str]:
        """Make *messages* the session; returns what had to be repaired. Raises: BusyAgentError."""
        repairs = self._free_session().load(messages)
        if repairs:
            self.waiting.append(HistoryRepaired(agent=self.name, repairs=tuple(repairs)))
        return repairs

    def _free_session(self) -> Session:
        if self.session.holder is not None:
            raise BusyAgentError(self.name, "a run holds its session")
        return self.session

    def fork(self, name: str | None = None) -> Agent:
        """An agent like this one with an empty session; tools are shared."""
        return self._forked(name, Session(self.session.max_tokens), Forked(agent=name or self.name))

    def fork_with_context(self, name: str | None = None) -> Agent:
        """An agent like this one, with all that was said so far; pairs of calls and results stay whole."""
        return self._forked(name, self.session.copy(), ForkedWithContext(agent=name or self.name))

    def _forked(self, name: str | None, session: Session, event: Event) -> Agent:
        fork = copy.copy(self)
        fork.name, fork.session, fork.parts, fork.waiting = name or self.name, session, [], [event]
        fork.options, fork.metadata = dict(self.options), dict(self.metadata)
        return fork

    # -- thoughts -------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Json]:
        """Who the agent is, as its thought chain keeps it."""
        return {
            "name": self.name,
            "model": f"{self.provider.name}:{self.model}",
            "instructions": Redaction(self.secrets())(self.instructions),
            "expertise": self.expertise,
            "personality": self.personality,
            "tools": [name for protocol in self.toolbox.protocols.values() for name in names_of(protocol)],
        }

    async def commit(self, type: str, content: str, refs: Iterable[int] = ()) -> Thought:
        """
        Add a thought to the agent's chain; when this returns, it is kept.

        Args:
            type: a `ThoughtType`, or any other word.
            refs: indices of earlier thoughts that this one builds on.

        Raises:
            SetupError: the agent keeps no thoughts, or a reference is to none of them.
        """
        chain, who, told = self.thoughts, self.identity, Redaction(self.secrets())(content)
        if chain is None:
            raise SetupError(f"Agent {self.name!r} keeps no thoughts. Give it some: Agent(..., thoughts='jsonl:DIR')")
        thought = await in_thread(chain.commit, who, type, told, tuple(refs), self.session.exposed)
        self.waiting.append(ThoughtCommitted(agent=self.name, thought_type=thought.type, index=thought.index))
        return thought

    # -- tools ----------------------------------------------------------------

    def add_protocol(self, protocol: ToolProtocol | str | Mapping[str, Any], name: str | None = None) -> str:
        """
        Offer more tools, also while the agent works: its next model call sees them.

        Raises:
            ToolConflictError: a tool of that name is there already; nothing was added.
        """
        built: ToolProtocol = self.registry.build("tool_protocol", protocol)
        self._retooled(name := self.toolbox.add(built, name), added=True)
        return name

    def remove_protocol(self, name: str) -> None:
        """Withdraw tools, also while the agent works. Raises: SetupError: there is no such protocol."""
        self.toolbox.remove(name)
        self._retooled(name, added=False)

    def list_tools(self) -> tuple[str, ...]:
        return tuple(self.toolbox.offers)

    def _retooled(self, protocol: str, added: bool) -> None:
        if not self.parts:
            event = ProtocolAdded if added else ProtocolRemoved
            self.waiting.append(event(agent=self.name, protocol_name=protocol))
        for run, member in self.parts:
            member.retool(run, protocol, added, self.toolbox.copy())

    # -- for runs -------------------------------------------------------------

    def secrets(self) -> list[Secret]:
        """What this agent, its provider and its tools know and nobody may read."""
        tools = [secret for protocol in self.toolbox.protocols.values() for secret in protocol.secrets()]
        return [*self._environment, *self.provider.secrets(), *tools]

    def system_prompt(self, system_context: str = "") -> str:
        """Who the agent is, its instructions, and what the orchestration adds, in that order."""
        form = "" if self.shape is None else self.shape.instruction
        who = introduced(self.name, self.expertise, self.personality)
        return "\n\n".join(part for part in (who, self.instructions, system_context, form) if part)

    def member(self, session: Session, system_context: str = "", approver: Approve | None = None) -> Member:
        """The agent's part in a run that works on *session*."""
        return Member(
            name=self.name,
            model=self.model,
            provider=self.provider,
            instructions=self.system_prompt(system_context),
            thoughts=self.thoughts,
            thoughts_kept=len(self.thoughts.thoughts) if self.thoughts is not None else 0,
            identity=self.identity if self.thoughts is not None else {},
            shape=self.shape,
            tags=tuple(map(str, tags)) if isinstance(tags := self.metadata.get("tags"), list) else (),
            session=session,
            toolbox=self.toolbox.copy(),
            strategy=self.strategy,
            expertise=self.expertise,
            options=dict(self.options),
            max_tool_calls=self.max_tool_calls,
            max_output=self.max_output,
            approver=approver,
            waiting=list(self.waiting),
        )
