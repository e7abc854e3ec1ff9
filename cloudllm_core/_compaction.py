"""Making room in a session: the strategy chooses a cut, and may have a summary written before anything is lost."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ._events import ContextCompacted, ThoughtCommitted
from ._history import problem_after
from ._messages import Json, Message
from ._modelcall import ModelCall
from ._session import Turn, estimate_tokens
from ._strands import EffectFailed
from ._strategies import ContextStrategy, ContextView, Cut
from .errors import (
    CloudLLMError,
    ContentFiltered,
    ContextOverflowError,
    EffectError,
    HistoryError,
    LimitReachedError,
    ModeError,
)

INSTALL = "Install one with: pip install cloudllm-context-trim, and give the agent strategy='trim'."


@attrs.define(eq=False)
class TurnDesk:
    """What a strategy gets as its `Desk`."""

    call: ModelCall
    turn: Turn
    cut: Cut

    @property
    def thoughts(self) -> int:
        return self.call.member.thoughts_kept

    async def ask(self, prompt: str) -> str:
        member, (leaving, digest, tokens) = self.call.member, self.turn.leaving(self.cut.index)
        question = Message.user(prompt)
        if fault := problem_after(leaving[-1], question):
            raise HistoryError(len(leaving), fault)
        tokens += self.call.extra + estimate_tokens(prompt) + 1
        if tokens > member.session.max_tokens:
            raise ContextOverflowError(member.name, tokens, member.session.max_tokens, "There is no room to ask.")
        form, self.call.output = self.call.output, None  # a summary is not the answer
        try:
            completion = await self.call.perform((*leaving, question), f"{digest}/{prompt}", "none")
        except EffectFailed as problem:
            raise EffectError("Asking the model", f"{problem.type}: {problem.message}") from problem
        finally:
            self.call.output = form
        if completion.stop in ("refusal", "content_filtered"):
            raise ContentFiltered(f"it would not answer ({completion.stop})", member.provider.name, member.model)
        return completion.message.text

    async def commit(self, type: str, content: str, refs: Sequence[int] = ()) -> str | None:
        member, spine = self.call.member, self.call.run.spine
        chain = member.thoughts
        if chain is None:
            return None

        def append() -> dict[str, Json]:
            known = len(chain.thoughts)
            known_refs = [ref for ref in refs if 0 <= ref < known]
            thought = chain.commit(member.identity, type, content, known_refs, self.turn.exposed)
            prompt, exposed = chain.to_bootstrap_prompt(thought.index), chain.exposed(thought.index)
            return {"index": thought.index, "prompt": prompt, "exposed": exposed}

        about = {"type": type, "content": content, "refs": list(refs)}
        try:
            done = await self.call.aside("commit", about, append)
        except EffectFailed as problem:
            raise EffectError("Committing a thought", f"{problem.type}: {problem.message}") from problem
        member.thoughts_kept = done["index"] + 1
        spine.note(ThoughtCommitted(agent=member.name, thought_type=type, index=done["index"]))
        self.call.expose(self.turn, str(done.get("exposed", "")))
        return str(done["prompt"])


async def make_room(call: ModelCall, turn: Turn, pressed: bool) -> None:
    """
    Have the strategy shorten the session, if it wants to; if *pressed*, it must.

    Raises:
        ContextOverflowError: what is left is too long.
    """
    member, budget = call.member, turn.session.max_tokens
    before = tokens = turn.tokens + call.extra
    advice = INSTALL
    if member.strategy is not None:
        advice = f"The strategy {member.strategy.name!r} could not make room; this turn alone may be too long."
        tokens = await _cut(member.strategy, call, turn, pressed)
    if pressed:
        advice = f"The provider finds that too long. {advice}"
    if tokens > budget or (pressed and tokens >= before):
        raise ContextOverflowError(member.name, tokens, budget, advice)


async def _cut(strategy: ContextStrategy, call: ModelCall, turn: Turn, pressed: bool) -> int:
    """Make the cut that *strategy* chooses, if it chooses one; the estimate for the request then."""
    view = turn.view(call.extra, pressed)
    cut = strategy.choose(view)
    if cut is None:
        return view.tokens
    if cut not in view.cuts:
        raise CloudLLMError(f"The strategy {strategy.name!r} chose a cut that was not offered: {cut}.")
    summary, problem = await _summary(strategy, view, cut, TurnDesk(call, turn, cut))
    turn.cut(cut.index, summary)
    tokens = turn.tokens + call.extra
    event = ContextCompacted(
        agent=call.member.name,
        strategy=strategy.name,
        kept_from=cut.index,
        tokens_before=view.tokens,
        tokens_after=tokens,
        summary=summary is not None,
        problem=problem,
    )
    call.run.spine.note(event)
    return tokens


async def _summary(
    strategy: ContextStrategy, view: ContextView, cut: Cut, desk: TurnDesk
) -> tuple[str | None, str | None]:
    """What takes the place of what goes, and why there is none if one was wanted and could not be had."""
    try:
        summary = await strategy.summarise(view, cut, desk)
        if summary is None or not summary.strip():
            return None, None
    except (ModeError, LimitReachedError):
        raise
    except Exception as problem:  # noqa: BLE001 -- whatever it is, the session must become shorter
        return None, str(problem) if isinstance(problem, CloudLLMError) else f"{type(problem).__name__}: {problem}"
    longest = min(view.tokens, view.budget) - cut.tokens_after
    if (tokens := estimate_tokens(summary)) >= longest:
        return None, f"its {tokens} tokens are no fewer than the {max(0, longest)} it would take the place of"
    return summary, None
