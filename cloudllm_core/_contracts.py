"""
The contracts: what plugins promise the kernel (abstract base classes), what the kernel promises
plugins (protocols), and the values that cross between them.

Beside each hook of `_hookspecs` stands its class here; the docstring shows both halves an author writes.
"""

from __future__ import annotations

import abc
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import attrs

from ._events import Event
from ._messages import Completion, Json, JsonObject, Message, Reply
from ._secrets import Secret
from ._settings import Configurable, plain
from ._stores import Store
from .errors import BadRequest, ProviderError

Effect: TypeAlias = Literal["read", "idempotent", "write", "composite"]
"""What repeating it does: nothing; nothing more; it happens twice; it is mode code, run again on replay."""

RunStop: TypeAlias = Literal["completed", "max_rounds", "stalled", "limit", "cancelled", "failed"]
"""Why a run ended."""


# -- tools --------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ToolDefinition:
    """A tool as a model and the kernel see it."""

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of an object."""

    effect: Effect = "write"
    timeout: float = 30.0
    """Seconds one call may take."""

    needs: tuple[str, ...] = ()
    """
    What it reaches for: ``network``; ``files`` of its workspace; ``outside``, files beyond it;
    ``processes`` without a sandbox; ``secrets``.
    """

    untrusted: bool = False
    """Whether its results bring in text from outside the team (the web, foreign files)."""

    approve: bool = False
    """Whether a person must allow each call."""

    concurrency: int | None = None
    """How many calls may run at once in a run; None is as many as there are."""

    def to_json(self) -> dict[str, Json]:
        """What decides about a replay: what the model sees, and what repeating does."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
            "effect": self.effect,
        }


@attrs.frozen(kw_only=True)
class ToolContext:
    """What a call knows about itself; a `@tool` function receives it by annotation."""

    agent: str
    run_id: str
    call_id: str
    key: str
    """The idempotency key ``run_id/lane/position``: the same for a repetition of this very call."""

    deadline: float
    """When the call will be cancelled, in seconds of the event loop's clock."""

    hub: Hub | None = None
    """The hub, for composite tools only."""


class ToolProtocol(Configurable, abc.ABC):
    """
    A source of tools.

    Write a protocol::                              Offer it::

        class Dice(ToolProtocol):                       @hookimpl
            name = "dice"                               def cloudllm_register_tool_protocol() -> type[Dice]:
            def tools(self): return [DEFINITION]            return Dice
            async def call(self, tool, arguments, context): ...

    The kernel validates arguments against the definition before it calls, bounds the call's time,
    and turns an exception into an error result that the model reads. An exception whose ``own_words``
    is True holds no text from outside, also where the tool's results do: it exposes nobody.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def tools(self) -> Sequence[ToolDefinition]:
        """The tools as they are now; asked again whenever the protocol is added somewhere."""

    @abc.abstractmethod
    async def call(self, tool: str, arguments: JsonObject, context: ToolContext) -> Any:
        """Perform one call. The result is text, or JSON that becomes text; an exception's message goes to the model."""

    def secrets(self) -> Iterable[Secret]:
        """What the protocol knows and nobody may read: ``secret:NAME`` stands for it in sessions and journals."""
        return ()

    async def aclose(self) -> None:
        """Release what the protocol holds."""


# -- providers ----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Request:
    """One model call, whole: nothing else is sent."""

    model: str
    instructions: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    output: JsonObject | None = None
    """The JSON Schema that the answer must fit, which the instructions say too; for providers that can enforce it."""

    max_output: int | None = None
    """How many tokens the answer may have, thinking included; whatever *options* say, it may not have more."""

    options: JsonObject = attrs.Factory(dict)
    """What the agent asked for beyond that (temperature ...), in the provider's own terms."""

    key: str = ""
    """The idempotency key of this call, for providers that take one."""


Emit: TypeAlias = Callable[[Literal["content", "reasoning"], str], None]
"""Takes a piece of a streamed answer: its sort and its text."""


class Provider(Configurable, abc.ABC):
    """
    A way to reach a family of models.

    Write a provider::                              Offer it::

        class Acme(Provider):                           @hookimpl
            name = "acme"                               def cloudllm_register_provider() -> type[Acme]:
            async def complete(self, request): ...          return Acme

    One provider serves many agents and runs at once, so it keeps nothing between calls but its
    connection. It imports its SDK when it first connects, switches the SDK's own retries off, and
    lets no error out but `ProviderError` and its kind.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    async def complete(self, request: Request) -> Completion:
        """
        Make one model call.

        Raises:
            ProviderError: in its most fitting subclass.
        """

    async def stream(self, request: Request, emit: Emit) -> Completion:
        """
        Make one model call, handing out the answer's pieces through *emit* as they come.

        Returns what `complete` would; a stream that ends without its end is `StreamTruncated`.
        """
        return await self.complete(request)

    def retry(self, problem: ProviderError, attempt: int) -> float | None:
        """
        Whether the call should be made again after its *attempt*-th failure (from 1), and in how many seconds.

        The kernel waits, takes it from the run's limits anew, and says so. By default, None: it has failed.
        """
        return None

    def secrets(self) -> Iterable[Secret]:
        """What the provider knows and nobody may read: ``secret:NAME`` stands for it in sessions and journals."""
        return ()

    async def models(self) -> tuple[str, ...]:
        """
        What may follow ``provider:``, as the API lists it, sorted.

        Raises:
            ProviderError: it could not be asked; by default `BadRequest`, for an API that lists none.
        """
        raise BadRequest("its API does not list models", self.name)

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""


# -- modes --------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Outcome:
    """What a mode says of its run."""

    complete: bool
    answer: str | None = None
    """None: the last thing said."""

    score: float | None = None
    stop_reason: RunStop | None = None
    """None: ``completed`` if complete, else ``max_rounds``."""


class Hub(Protocol):
    """
    Where a mode meets its agents for one run.

    A mode awaits nothing but the hub. Branches may share Python state freely: one of them runs at a
    time. Every verb raises `RunOverError` once the run is over and `ForeignTaskError` from a task
    the hub did not start.
    """

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents' names, in order."""

    @property
    def everyone_spoke(self) -> bool:
        """Whether each turn asked for in this run brought an answer, and there was one at least."""

    @property
    def transcript(self) -> tuple[Reply, ...]:
        """Everything said aloud so far."""

    @property
    def run_id(self) -> str:
        """The run's own name, the same on replay: for telling its workers from others'."""

    def describe(self, agent: str) -> str:
        """The agent's expertise, for prompts; empty if it has none."""

    def abilities(self, agent: str) -> frozenset[str]:
        """The names of the agent's tools, and the tags in its ``metadata["tags"]``."""

    def round(self) -> AbstractAsyncContextManager[int]:
        """``async with hub.round() as number:``, announced and counted. Raises: LimitReachedError."""

    async def ask(
        self, agent: str, prompt: str, *, note: str | None = None, tools: Sequence[Any] = (), reason: str | None = None
    ) -> Reply:
        """
        Give *agent* a turn.

        The agent first hears what others said since its last turn. *prompt* is kept and said once to
        each agent (a repetition sends only the news, or "Go on."); *note* goes with this turn and is
        not kept; *tools* are offered for this turn only; *reason* is announced with the selection.

        Raises:
            AgentFailedError: the turn failed. BusyAgentError: the agent is answering already.
            LimitReachedError: the run may not make the call.
        """

    async def try_ask(
        self, agent: str, prompt: str, *, note: str | None = None, tools: Sequence[Any] = (), reason: str | None = None
    ) -> Reply | None:
        """As `ask`; a failed turn is None, unless the orchestration stops on failures."""

    def ask_all(
        self,
        agents: Iterable[str],
        prompt: str,
        *,
        note: str | None = None,
        tools: Sequence[Any] = (),
        reason: str | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Reply]]:
        """
        Ask several agents at once; none hears the others before its next turn.

        ``async with hub.ask_all(...) as replies: async for reply in replies:`` yields replies as they
        arrive, without those that failed; leaving the block cancels what is still open, cleanly.
        """

    def each(
        self, fn: Callable[[Any], Awaitable[Any]], items: Iterable[Any]
    ) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """Branches of the mode's own, one per item; used as `ask_all`, yields results as they finish."""

    def announce(self, event: Event) -> None:
        """Put a mode's own event into the journal."""

    def progress(self, done: int, total: int) -> None:
        """Announce how far the run is."""

    def charge(self, agent: str, task: str) -> None:
        """
        Put what *agent* has used, since it was last charged, on the account of *task*: for
        `RunResult.usage_by_task` and `RunResult.cost_by_task`.
        """

    async def do(self, name: str, fn: Callable[..., Any], *args: Any, effect: Effect = "read") -> Any:
        """
        Whatever else a mode must learn: a check, a scorer, a file, a person.

        *fn* (sync or async) is called with *args*, which are JSON, outside the mode; its JSON result is
        journalled, so a replay never calls it.

        Raises:
            EffectError: *fn* raised.
        """

    def store(self, store: Store | str | Mapping[str, Any]) -> Store:
        """
        *store*, journalled: a replay never touches it. By name (or a table with a ``name``) it is a new
        one, for this run. Raises: EffectError: from its operations, when the store fails.
        """

    def now(self) -> float:
        """Seconds since 1970, journalled."""

    async def sleep(self, seconds: float) -> None: ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """``async with hub.timeout(5):`` raises TimeoutError when the block takes longer."""

    def random(self) -> random.Random:
        """A generator seeded by the run and the place it is asked from: the same on replay."""


class Mode(Configurable, abc.ABC):
    """
    A way for agents to work together.

    Write a mode::                                  Offer it::

        @attrs.frozen                                   @hookimpl
        class Chorus(Mode):                             def cloudllm_register_mode() -> type[Chorus]:
            name = "chorus"                                 return Chorus
            async def run(self, hub, prompt): ...

    A mode is frozen settings and one async method; whatever it learns comes through the hub.
    """

    name: ClassVar[str]
    tables: ClassVar[tuple[str, ...]] = ()
    """Top-level tables of a team file that belong to this mode, handed to `from_settings` with the rest."""

    @abc.abstractmethod
    async def run(self, hub: Hub, prompt: str) -> Outcome:
        """Lead the agents through one run."""

    def settings(self) -> dict[str, Json]:
        """The mode's settings as plain data: two modes that would act alike give the same."""
        settings: dict[str, Json] = plain(self)
        return settings
