"""
One agent's turn: think, use tools until done, reply. A transaction, whatever happens on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from ._calls import Calls, Job, Member
from ._compaction import make_room
from ._contracts import Hub, ToolProtocol
from ._events import (
    AgentFailed,
    ForeignPartsDropped,
    SendCompleted,
    SendStarted,
    ToolMaxIterationsReached,
)
from ._messages import Completion, Message, Reply, Text, ToolCall, ToolResult
from ._modelcall import ModelCall
from ._output import REPAIR
from ._policy import by_way_of
from ._run import Run
from ._session import Turn
from ._strands import EffectFailed, Halt
from ._toolbox import Toolbox
from .errors import (
    AgentFailedError,
    BadResponse,
    CloudLLMError,
    ContentFiltered,
    ContextTooLong,
    LimitReachedError,
    ModeError,
)

Choice: TypeAlias = Literal["auto", "none"]


@attrs.define(eq=False)
class TakenTurn:
    """A turn under way."""

    member: Member
    turn: Turn
    call: ModelCall
    extra: Sequence[ToolProtocol]
    hub: Hub | None
    made: int = 0
    """Calls made so far."""

    calls: Calls | None = None
    """The calls of the last reply."""

    wrote: bool = False
    output: Any = None
    """The answer as what it must be, where the agent has a type for it."""

    _seen: Toolbox | None = None

    @property
    def run(self) -> Run:
        return self.call.run

    async def answer(self) -> str:
        """Converse until there is an answer; one that is not of the agent's type may be repaired once."""
        text, shape = await self.converse(), self.member.shape
        if shape is None:
            return text
        try:
            self.output = shape.read(text)
        except ValueError as problem:
            self.turn.add(Message.user(REPAIR.format(problem=problem)))
            text = await self.converse()
            try:
                self.output = shape.read(text)
            except ValueError as still:
                raise BadResponse(
                    f"the answer is not what output= asks for, also after a repair: {still}",
                    self.member.provider.name,
                    self.member.model,
                ) from still
        return text

    async def converse(self) -> str:
        """Model, calls, results, model ... until there are no more calls."""
        choice: Choice = "none" if 0 < self.member.max_tool_calls <= self.made else "auto"
        paused = 0
        while True:
            completion = await self.think(choice)
            message = completion.message
            if completion.stop in ("refusal", "content_filtered") and not (message.text or message.tool_calls):
                member = self.member
                raise ContentFiltered(f"there is no answer ({completion.stop})", member.provider.name, member.model)
            pauses = completion.stop == "pause" and bool(message.parts) and not message.tool_calls and paused < PAUSES
            if paused:  # the provider went on with what it had begun
                message = self.turn.join(_legal(message, choice, pauses))
            else:
                self.turn.add(_legal(message, choice, pauses))
            paused = paused + 1 if pauses else 0
            if pauses:
                continue
            if choice == "none" or not message.tool_calls:  # where it was told to make none, nobody answers them
                return message.text
            self.turn.add(Message.tool(await self.use_tools(message.tool_calls)))
            if self.made >= self.member.max_tool_calls:
                choice = "none"

    async def use_tools(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Run the calls of one reply, as far as the turn may make them."""
        member, left = self.member, self.member.max_tool_calls - self.made
        if len(calls) > left:
            self.run.spine.note(ToolMaxIterationsReached(agent=member.name, allowed=member.max_tool_calls))
        jobs = [Job(call) for call in calls]
        about = (self.hub, self.call.iteration, jobs, self.turn.exposed)
        self.calls = Calls(self.run, member, self.call.toolbox, *about)
        self.made += min(left, len(calls))
        results = await self.calls.perform(left)
        self.wrote = self.wrote or self.calls.happened
        self.call.expose(self.turn, self.calls.expose())
        return results

    async def think(self, choice: Choice) -> Completion:
        """One model call; where the provider finds it too long, room is made and it is asked once more."""
        member, turn = self.member, self.turn
        if self._seen is not member.toolbox:  # protocols come and go while a turn lasts
            self._seen = member.toolbox
            self.call.toolbox = member.toolbox.with_more(self.extra) if self.extra else member.toolbox
        pressed = False
        while True:
            await make_room(self.call, turn, pressed)
            try:
                return await self.call.perform(turn.messages, turn.digest, choice, listened=True)
            except EffectFailed as problem:
                if problem.type != ContextTooLong.__name__ or pressed:
                    raise
                pressed = True


NO_ANSWER = "(no answer)"
PAUSES = 10
"""How often in a row a provider may pause an answer, to be asked to go on with it."""


def _legal(message: Message, choice: str, unfinished: bool = False) -> Message:
    """*message* as every provider takes it back: no blank text, no calls that nobody answers, never empty."""
    unwanted = ToolCall if choice == "none" else ()
    parts = [part for part in message.parts if not isinstance(part, unwanted)]
    parts = [part for part in parts if not isinstance(part, Text) or part.text.strip()]
    if not (unfinished and parts) and not any(isinstance(part, (Text, ToolCall)) for part in parts):
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
    exposed: str = "",
    on_kept: Callable[[], None] | None = None,
) -> Reply:
    """
    Give *member* one turn, in its lane: *texts* join its session, *note* does not; *exposed* says what text from
    outside the team is among them.

    *on_kept* is called when the session has moved on, which a failed turn's may as well.

    Raises:
        AgentFailedError: the turn failed. LimitReachedError, ModeError: the run must stop.
    """
    hide = run.spine.tape.hide
    texts = [hide(text) for text in texts]
    note, task = note and hide(note), task and hide(task)
    turn = member.session.turn()
    turn.open(texts, note, task)
    for event in member.waiting:
        run.spine.note(event)
    member.waiting.clear()
    extra = tuple(extra)
    output = None if member.shape is None else member.shape.schema
    taken = TakenTurn(member, turn, ModelCall(run, member, member.toolbox, output), extra, hub)
    run.spine.note(SendStarted(agent=member.name, message="\n\n".join(texts), note=note))
    taken.call.expose(turn, exposed)
    if parts := member.session.foreign_parts(member.provider.name):
        run.spine.note(ForeignPartsDropped(agent=member.name, provider=member.provider.name, parts=parts))
    try:
        text = await taken.answer()
    except (Exception, asyncio.CancelledError) as problem:
        _break_off(taken, problem, on_kept)
        if isinstance(problem, (asyncio.CancelledError, LimitReachedError, ModeError)):
            raise
        member.broke = by_way_of(turn.exposed, member.name)
        raise AgentFailedError(member.name, _told(problem)) from problem
    turn.commit()
    if on_kept is not None:
        on_kept()
    usage = taken.call.usage
    tokens = usage.total if taken.call.known else None
    run.spine.note(
        SendCompleted(agent=member.name, tokens_used=tokens, tool_calls_made=taken.made, response_length=len(text))
    )
    return Reply(member.name, text, usage, taken.made, taken.output)


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
        taken.call.expose(taken.turn, calls.expose())
        taken.turn.close(calls.results(), why)
        if on_kept is not None:
            on_kept()
    taken.run.spine.note(AgentFailed(agent=taken.member.name, error=why, tokens_used=taken.call.usage.total, kept=kept))
