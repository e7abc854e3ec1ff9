"""One model call of an agent: counted, journalled, and streamed to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Self

import attrs

from ._calls import Member
from ._contracts import Request
from ._events import AgentHeldBack, AgentRetried, SessionExposed
from ._journal import digest_text
from ._messages import NO_USAGE, Completion, Json, JsonObject, Message, Usage
from ._run import Run
from ._session import Turn, message_tokens
from ._signals import LLMContentDelta, LLMReasoningDelta, LLMWaiting
from ._strands import EffectFailed, Pending
from ._threads import in_thread
from ._toolbox import Toolbox
from .errors import BadResponse, ProviderError

HEARTBEAT = 10.0
"""Seconds of silence after which a listener is told that a call still waits; the original's."""


@attrs.define(eq=False)
class Heart:
    """Says every now and then that a call still waits, where nothing else was said meanwhile."""

    run: Run
    place: dict[str, Any]
    quiet: bool = True
    _loop: asyncio.AbstractEventLoop = attrs.Factory(asyncio.get_running_loop)
    _began: float = 0.0
    _timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._began = self._loop.time()
        self._timer = self._loop.call_later(HEARTBEAT, self._beat)
        return self

    def _beat(self) -> None:
        self._timer = self._loop.call_later(HEARTBEAT, self._beat)
        if self.quiet:
            self.run.emit(LLMWaiting(**self.place, seconds=self._loop.time() - self._began))
        self.quiet = True

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


@attrs.define(eq=False)
class ModelCall:
    """The model calls of one turn, and what they cost."""

    run: Run
    member: Member
    toolbox: Toolbox
    output: JsonObject | None = None
    """The JSON Schema that the answer must fit, where there is one."""

    iteration: int = 0
    usage: Usage = NO_USAGE
    known: bool = True
    """Whether every completion said what it cost."""

    @property
    def extra(self) -> int:
        """The estimate for what goes with the messages: instructions and tool schemas."""
        return self.member.frame[1] + self.toolbox.tokens

    def expose(self, turn: Turn, source: str) -> None:
        """*turn* holds text from outside the team now, by way of *source*; empty is none."""
        if source and not turn.exposed:
            turn.exposed = source
            self.run.spine.note(SessionExposed(agent=self.member.name, source=source))

    async def perform(
        self, messages: tuple[Message, ...], digest: str, choice: Literal["auto", "none"], listened: bool = False
    ) -> Completion:
        """
        Send *messages*, for which *digest* stands. Pieces of the answer are streamed where it is *listened* to.

        Raises:
            EffectFailed: with the provider's error. LimitReachedError: the run may make no more calls.
        """
        self.iteration += 1
        attempt = 1
        while True:
            try:
                return await self._once(messages, digest, choice, listened, attempt)
            except EffectFailed as problem:
                if problem.retry_in is None:
                    raise
                error = f"{problem.type}: {problem.message}"
                wait = problem.retry_in
            event = AgentRetried(agent=self.member.name, attempt=attempt, wait=wait, error=error)
            self.run.spine.note(event)
            attempt += 1

            async def pause(key: str, wait: float = wait) -> None:
                await asyncio.sleep(wait)

            await self.run.spine.wait(self.run.spine.request("wait", "read", wait, pause))

    async def _once(
        self, messages: tuple[Message, ...], digest: str, choice: Literal["auto", "none"], listened: bool, attempt: int
    ) -> Completion:
        self.run.ledger.reserve("calls")
        member, toolbox, ledger = self.member, self.toolbox, self.run.ledger
        taken = ledger.book(self._bytes(messages), member.max_output, member.tariff)
        cap = member.max_output if taken is None else taken.cap

        async def perform(key: str) -> Completion:
            try:
                return await call(key)
            except ProviderError as problem:
                problem.retry_in = member.provider.retry(problem, attempt)
                raise

        async def call(key: str) -> Completion:
            request = Request(
                model=member.model,
                instructions=member.instructions,
                messages=messages,
                tools=toolbox.definitions,
                tool_choice=choice,
                output=self.output,
                max_output=cap,
                options=member.options,
                key=key,
            )
            completion: Any
            if listened and self.run.listening:
                place = self.place(pending, attempt)
                with Heart(self.run, place) as heart:
                    completion = await member.provider.stream(request, self.emitter(place, heart))
            else:
                completion = await member.provider.complete(request)
            if not isinstance(completion, Completion) or completion.message.role != "assistant":
                raise BadResponse(
                    f"the provider gave {type(completion).__name__}, not a Completion", member.provider.name
                )
            return completion

        about = {"iteration": self.iteration, "model": member.model}
        whole = digest_text(f"{digest}/{member.frame[0]}/{toolbox.digest}/{choice}")
        pending = self.run.spine.request("model", "model", about, perform, whole)
        try:
            completion = Completion.from_json(await self.run.spine.wait(pending))
        except EffectFailed:
            ledger.give_back(taken)
            raise
        ledger.settle(taken, completion.usage, member.tariff and member.tariff.of(completion))
        member.pay(completion)
        if completion.waited:
            self.run.spine.note(AgentHeldBack(agent=member.name, seconds=completion.waited))
        if completion.usage is None:
            self.known = False
        else:
            self.usage += completion.usage
        return completion

    def _bytes(self, messages: tuple[Message, ...]) -> int:
        """No fewer tokens than the request has: its bytes, for a token is one of them at least."""
        if self.run.ledger.limits.tokens is None and self.run.ledger.limits.cost is None:
            return 0
        parts = sum([len(message.parts) + 1 for message in messages])
        return 4 * (sum(map(message_tokens, messages)) + self.extra) + 4 * parts + 64

    def place(self, pending: Pending, attempt: int) -> dict[str, Any]:
        """Where the signals of a call belong."""
        where = {"agent": self.member.name, "lane": pending.lane.name, "position": pending.position}
        return where | {"attempt": attempt}

    def emitter(self, place: dict[str, Any], heart: Heart) -> Callable[[Any, str], None]:
        """Passes streamed pieces to whoever listens, without a mode being able to see them."""
        kinds = {"content": LLMContentDelta, "reasoning": LLMReasoningDelta}
        hide = self.run.spine.tape.hide

        def emit(sort: Any, text: str) -> None:
            heart.quiet = False
            self.run.emit(kinds[sort](**place, text=hide(text)))

        return emit

    async def aside(self, name: str, about: dict[str, Json], fn: Callable[[], Json]) -> Any:
        """What *fn* gives, called in a thread, once: an effect of the agent's own, that finishes when it has begun."""

        async def perform(key: str) -> Json:
            return await in_thread(fn)

        return await self.run.spine.wait(self.run.spine.request(name, "write", about, perform))
