"""
One agent's turn: think, use tools until done, reply. A transaction, whatever happens on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from ._calls import Calls, Job, Member
from ._contracts import Hub, Request, ToolProtocol
from ._events import (
    AgentFailed,
    ContextCompacted,
    LLMContentDelta,
    LLMReasoningDelta,
    SendCompleted,
    SendStarted,
    ToolMaxIterationsReached,
)
from ._journal import digest_text
from ._messages import NO_USAGE, Completion, Message, Reply, Text, ToolCall, ToolResult, Usage
from ._run import Run
from ._session import Turn
from ._strands import EffectFailed, Halt, Pending
from ._toolbox import Toolbox
from .errors import (
    AgentFailedError,
    BadResponse,
    CloudLLMError,
    ContentFiltered,
    ContextOverflowError,
    LimitReachedError,
    ModeError,
)


@attrs.define(eq=False)
class TakenTurn:
    """A turn under way."""

    run: Run
    member: Member
    turn: Turn
    toolbox: Toolbox
    extra: Sequence[ToolProtocol]
    hub: Hub | None
    iteration: int = 0
    made: int = 0
    """Calls made so far."""

    usage: Usage = NO_USAGE
    known: bool = True
    """Whether every completion said what it cost."""

    calls: Calls | None = None
    """The calls of the last reply."""

    wrote: bool = False
    _seen: Toolbox | None = None

    async def converse(self) -> str:
        """Model, calls, results, model ... until there are no more calls."""
        choice = "auto"
        while True:
            completion = await self.think(choice)
            message = completion.message
            if completion.stop in ("refusal", "content_filtered") and not (message.text or message.tool_calls):
                member = self.member
                raise ContentFiltered(f"there is no answer ({completion.stop})", member.provider.name, member.model)
            self.turn.add(_legal(message, choice))
            if choice == "none":  # it was told to make no calls; nobody answers those it made
                return message.text
            if not message.tool_calls:
                return message.text
            self.turn.add(Message.tool(await self.use_tools(message.tool_calls)))
            if self.made >= self.member.max_tool_calls:
                choice = "none"

    async def use_tools(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Run the calls of one reply, as far as the turn may make them."""
        member, left = self.member, self.member.max_tool_calls - self.made
        if len(calls) > left:
            self.run.spine.note(ToolMaxIterationsReached(agent=member.name, allowed=member.max_tool_calls))
        self.calls = Calls(self.run, member, self.toolbox, self.hub, self.iteration, [Job(call) for call in calls])
        self.made += min(left, len(calls))
        results = await self.calls.perform(left)
        self.wrote = self.wrote or self.calls.happened
        return results

    async def think(self, choice: Any) -> Completion:
        """One model call."""
        member, self.iteration = self.member, self.iteration + 1
        if self._seen is not member.toolbox:  # protocols come and go while a turn lasts
            self._seen = member.toolbox
            self.toolbox = member.toolbox.with_more(self.extra) if self.extra else member.toolbox
        self.make_room()
        self.run.ledger.reserve("calls")
        turn, toolbox, frame = self.turn, self.toolbox, member.frame[0]

        async def perform(key: str) -> Completion:
            request = Request(
                model=member.model,
                instructions=member.instructions,
                messages=turn.messages,
                tools=toolbox.definitions,
                tool_choice=choice,
                options=member.options,
                key=key,
            )
            completion: Any
            if self.run.listening:
                completion = await member.provider.stream(request, self.emitter(pending))
            else:
                completion = await member.provider.complete(request)
            if not isinstance(completion, Completion) or completion.message.role != "assistant":
                raise BadResponse(
                    f"the provider gave {type(completion).__name__}, not a Completion", member.provider.name
                )
            return completion

        about = {"iteration": self.iteration, "model": member.model}
        digest = digest_text(f"{turn.digest}/{frame}/{toolbox.digest}/{choice}")
        pending = self.run.spine.request("model", "model", about, perform, digest)
        completion = Completion.from_json(await self.run.spine.wait(pending))
        if completion.usage is None:
            self.known = False
        else:
            self.usage += completion.usage
            member.usage += completion.usage
        return completion

    def emitter(self, pending: Pending) -> Callable[[Any, str], None]:
        """Passes streamed pieces to whoever listens, without a mode being able to see them."""
        place: dict[str, Any] = {"agent": self.member.name, "lane": pending.lane.name, "position": pending.position}
        kinds = {"content": LLMContentDelta, "reasoning": LLMReasoningDelta}
        return lambda sort, text: self.run.emit(kinds[sort](**place, text=text))

    def make_room(self) -> None:
        """Have the strategy shorten the session, if it wants to; refuse what is too long."""
        member, turn = self.member, self.turn
        extra = member.frame[1] + self.toolbox.tokens
        budget, tokens = member.session.max_tokens, turn.tokens + extra
        advice = "Install one with: pip install cloudllm-context-trim, and give the agent strategy='trim'."
        if member.strategy is not None:
            view = turn.view(extra)
            cut = member.strategy.choose(view)
            if cut is not None:
                if cut not in view.cuts:
                    raise CloudLLMError(
                        f"The strategy {member.strategy.name!r} chose a cut that was not offered: {cut}."
                    )
                turn.cut(cut.index)
                tokens = turn.tokens + extra
                event = ContextCompacted(
                    agent=member.name,
                    strategy=member.strategy.name,
                    kept_from=cut.index,
                    tokens_before=view.tokens,
                    tokens_after=tokens,
                )
                self.run.spine.note(event)
            advice = f"The strategy {member.strategy.name!r} could not make room; this turn alone may be too long."
        if tokens > budget:
            raise ContextOverflowError(member.name, tokens, budget, advice)


NO_ANSWER = "(no answer)"


def _legal(message: Message, choice: str) -> Message:
    """*message* as every provider takes it back: no blank text, no calls that nobody answers, never empty."""
    unwanted = ToolCall if choice == "none" else ()
    parts = [part for part in message.parts if not isinstance(part, unwanted)]
    parts = [part for part in parts if not isinstance(part, Text) or part.text.strip()]
    if not any(isinstance(part, (Text, ToolCall)) for part in parts):
        parts.append(Text(NO_ANSWER))
    return message if tuple(parts) == message.parts else attrs.evolve(message, parts=parts)


async def take_turn(
    run: Run,
    member: Member,
    texts: Sequence[str],
    *,
    note: str | None = None,
    task: str | None = None,
    extra: Iterable[ToolProtocol] = (),
    hub: Hub | None = None,
    on_kept: Callable[[], None] | None = None,
) -> Reply:
    """
    Give *member* one turn, in its lane: *texts* join its session, *note* does not.

    *on_kept* is called when the session has moved on, which a failed turn's may as well.

    Raises:
        AgentFailedError: the turn failed. LimitReachedError, ModeError: the run must stop.
    """
    turn = member.session.turn()
    turn.open(texts, note, task)
    for event in member.waiting:
        run.spine.note(event)
    member.waiting.clear()
    extra = tuple(extra)
    taken = TakenTurn(run, member, turn, member.toolbox, extra, hub)
    run.spine.note(SendStarted(agent=member.name, message="\n\n".join(texts), note=note))
    try:
        text = await taken.converse()
    except (Exception, asyncio.CancelledError) as problem:
        _break_off(taken, problem, on_kept)
        if isinstance(problem, (asyncio.CancelledError, LimitReachedError, ModeError)):
            raise
        raise AgentFailedError(member.name, _told(problem)) from problem
    turn.commit()
    if on_kept is not None:
        on_kept()
    tokens = taken.usage.total if taken.known else None
    run.spine.note(
        SendCompleted(agent=member.name, tokens_used=tokens, tool_calls_made=taken.made, response_length=len(text))
    )
    return Reply(member.name, text, taken.usage, taken.made)


def _told(problem: BaseException) -> str:
    if isinstance(problem, asyncio.CancelledError):
        return "cancelled"
    if isinstance(problem, EffectFailed):
        return f"{problem.type}: {problem.message}"
    return str(problem) if isinstance(problem, CloudLLMError) else f"{type(problem).__name__}: {problem}"


def _break_off(taken: TakenTurn, problem: BaseException, on_kept: Callable[[], None] | None) -> None:
    """Discard the turn, or close it if something in it cannot be undone; say so either way."""
    if taken.run.spine.failure is not None or isinstance(problem, Halt):
        return
    why = _told(problem)
    calls = taken.calls
    kept = taken.wrote or (calls is not None and calls.happened)
    if kept and calls is not None:
        taken.turn.close(calls.results(), why)
        if on_kept is not None:
            on_kept()
    taken.run.spine.note(AgentFailed(agent=taken.member.name, error=why, tokens_used=taken.usage.total, kept=kept))
