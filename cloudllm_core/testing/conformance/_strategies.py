"""The contract of context strategies."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Coroutine, Generator, Iterable, Sequence
from typing import Any, ClassVar

import attrs
import pytest

from ..._agent import Agent
from ..._contracts import Hub, Mode, Outcome, Request
from ..._history import validate_history
from ..._journal import encode
from ..._messages import Completion, Image, JsonObject, Message, Private, Text, Thinking, ToolCall
from ..._orchestration import Orchestration
from ..._registry import Registry
from ..._session import Session, Turn, estimate_tokens, message_tokens
from ..._strategies import ContextStrategy, ContextView, Cut
from ..._thoughts import Thought, ThoughtChain
from ..._tool import tool
from ...errors import ContextOverflowError, ContextTooLong, EffectError, RunError
from ...events import ContextCompacted
from .._script import ScriptedProvider
from ._chance import dice_of, odd_text, turns

TASK = "The task: write a poem about tides."
SAVE = "Findings: the tide turns at six.\nNext steps: go on.\nREFS: 0, 7, none"
INSTRUCTIONS = "You look at the sea before you speak."
BUDGET = 3_000

ODD_ANSWERS = (
    "",
    "x" * 100_000,
    "\ud800",
    "REFS: ,,-1",
    EffectError("Asking the model", "Overloaded: The provider: busy."),
    ContextOverflowError("ada", 2, 1, "There is no room to ask."),
)
DISK_FULL = EffectError("Committing a thought", "OSError: No space left on device")


class ContextStrategyContract:
    """What every context strategy promises. Subclass it and write the fixture ``strategy``."""

    @pytest.fixture
    def strategy(self) -> ContextStrategy:
        """The strategy under test, set so that it acts before a session is full."""
        raise NotImplementedError("Write a fixture `strategy` that returns an instance of your context strategy.")

    def test_has_a_name(self, strategy: ContextStrategy) -> None:
        """Its name is a plain lower-case word."""
        assert re.fullmatch(r"[a-z][a-z0-9-]*", strategy.name)

    @pytest.mark.parametrize("seed", range(60))
    def test_chooses_what_is_offered(self, strategy: ContextStrategy, seed: int) -> None:
        """It chooses one of the legal cuts, or none; and no cut that would make the request longer."""
        view = a_view(dice_of(f"view {seed}"))
        cut = strategy.choose(view)

        assert cut is None or cut in view.cuts
        assert cut is None or cut.tokens_after <= view.tokens

    @pytest.mark.parametrize("seed", range(20))
    def test_is_a_pure_function(self, strategy: ContextStrategy, seed: int) -> None:
        """The same view gets the same answer, also from another one's point of view; and stays as it is."""
        view, same = a_view(dice_of(f"view {seed}")), a_view(dice_of(f"view {seed}"))
        first = strategy.choose(view)
        for other in range(5):
            strategy.choose(a_view(dice_of(f"other {other}")))

        assert first == strategy.choose(view)
        assert first == strategy.choose(same)
        assert same == view

    def test_leaves_alone_what_cannot_be_cut(self, strategy: ContextStrategy) -> None:
        """Where no cut is legal it chooses none, however full the session; a budget of nothing does no harm either."""
        for budget in (0, 1, 10_000):
            view = ContextView(tokens=9_000, budget=budget, messages=(Message.user(TASK),), cuts=())

            assert strategy.choose(view) is None

    @pytest.mark.parametrize("seed", range(30))
    def test_settles(self, strategy: ContextStrategy, seed: int) -> None:
        """Asked again after each cut, it comes to an end."""
        for pressed in (False, True):
            view = attrs.evolve(a_view(dice_of(f"view {seed}")), pressed=pressed)
            asked = 0
            while (cut := strategy.choose(view)) is not None:
                asked += 1
                assert asked <= 20
                view = after(view, cut)

    @pytest.mark.parametrize("seed", range(60))
    def test_makes_room_when_pressed(self, strategy: ContextStrategy, seed: int) -> None:
        """Where the view is pressed, it chooses a cut that makes the request shorter, if there is any."""
        view = attrs.evolve(a_view(dice_of(f"view {seed}")), pressed=True)
        cut = strategy.choose(view)

        assert cut is None or cut in view.cuts
        if any(other.tokens_after < view.tokens for other in view.cuts):
            assert cut is not None
            assert cut.tokens_after < view.tokens

    @pytest.mark.parametrize("seed", range(30))
    def test_histories_stay_legal_and_keep_the_task(self, strategy: ContextStrategy, seed: int) -> None:
        """Through a long conversation with tools, every request is legal, holds the task and is as long as was said."""
        dice = dice_of(f"session {seed}")
        session, extra = Session(dice.choice([40, 150, 600, 4000])), dice.randrange(40)
        for nth, messages in enumerate(rich(dice, turn) for turn in turns(dice, 12)):
            turn = session.turn()
            opening = messages[0].text
            turn.open([TASK, opening] if nth == 0 else [opening], f"note {nth}", TASK if nth == 0 else None)
            for message in messages[1:]:
                if message.role == "assistant":
                    self._make_room(strategy, turn, extra, pressed=dice.random() < 0.1)
                    validate_history(turn.messages)
                    assert TASK in "\n".join(sent.text for sent in turn.messages)
                    assert opening in turn.messages[-1].text or turn.messages[-1].role == "tool", "it lost the turn"
                turn.add(message)
            turn.commit()
            validate_history(session.messages)

    def _make_room(self, strategy: ContextStrategy, turn: Turn, extra: int, pressed: bool) -> None:
        view = turn.view(extra, pressed)
        cut = strategy.choose(view)
        if cut is not None:
            assert cut in view.cuts
            turn.cut(cut.index)
            assert turn.tokens + extra <= view.tokens

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("thoughts", [None, 0, 3])
    def test_writes_text_or_nothing(self, strategy: ContextStrategy, seed: int, thoughts: int | None) -> None:
        """At a desk that works, with thoughts or without, `summarise` gives text or None and awaits nothing else."""
        for view, cut in chosen(strategy, seed):
            desk = PracticeDesk(thoughts, SAVE)
            said = at_desk(strategy.summarise(view, cut, desk))

            assert said is None or isinstance(said, str)
            assert all(prompt.strip() for prompt in desk.asked)
            assert all(content.strip() and encode([kind, refs]) for kind, content, refs in desk.committed)

    @pytest.mark.parametrize("nth", range(len(ODD_ANSWERS)))
    @pytest.mark.parametrize("works", [True, False])
    def test_comes_to_an_end_at_any_desk(self, strategy: ContextStrategy, nth: int, works: bool) -> None:
        """
        `summarise` may raise where the model is silent, odd or not to be had, or the chain cannot be written.

        It neither loops nor waits for anything else.
        """
        for view, cut in chosen(strategy, 0):
            desk = PracticeDesk(2, ODD_ANSWERS[nth], None if works else DISK_FULL)
            try:
                said = at_desk(strategy.summarise(view, cut, desk))
            except Exception:  # noqa: BLE001, S112 -- whatever it is, the cut is made without a summary
                continue
            assert said is None or isinstance(said, str)

    def test_lets_a_cancellation_through(self, strategy: ContextStrategy) -> None:
        """Cancelled at the desk, `summarise` stops."""
        for view, cut in chosen(strategy, 0):
            desk = PracticeDesk(2, SAVE)
            at_desk(strategy.summarise(view, cut, desk))
            for step in range(1, desk.served + 1):
                with pytest.raises(asyncio.CancelledError):
                    at_desk(strategy.summarise(view, cut, PracticeDesk(2, SAVE)), cancelled_at=step)

    @pytest.mark.parametrize("seed", range(4))
    def test_works_in_an_agents_loop(self, strategy: ContextStrategy, seed: int) -> None:
        """
        A long conversation with tools, thoughts and an impatient provider goes on to its end.

        Every request is legal, within the budget, and holds instructions and task; what the provider found
        too long is sent once more, shorter; and all of it can be replayed.
        """
        model, notes = Model(dice_of(f"model {seed}")), Notes() if seed % 2 else None
        ada = Agent(
            "ada", model, INSTRUCTIONS, tools=[look], strategy=strategy, thoughts=notes, max_tokens=BUDGET,
            registry=Registry.of(),
        )  # fmt: skip
        orchestration = Orchestration([ada], Interview(30), registry=Registry.of())

        async def main() -> tuple[Any, Sequence[Any]]:
            run = orchestration.run(TASK)
            return await run, run.records

        result, records = asyncio.run(main())
        assert (True, None) == (result.complete, result.error)
        assert any(isinstance(record.event, ContextCompacted) for record in records), "it never made room"
        for request in model.requests:
            validate_history(request.messages)
            assert size(request) <= BUDGET
            assert INSTRUCTIONS in request.instructions
            assert TASK in "\n".join(message.text for message in request.messages)
        assert model.refused
        assert [] == [(before, now) for before, now in zip(model.refused, model.retried, strict=True) if now >= before]
        validate_history(ada.session.messages)
        kept = len(notes.thoughts) if notes else 0
        asyncio.run(orchestration.replay(records))
        assert kept == (len(notes.thoughts) if notes else 0)


def a_view(dice: random.Random) -> ContextView:
    """A session of a few turns, with some of its legal cuts."""
    said = [rich(dice, turn) for turn in turns(dice, dice.randrange(1, 7))]
    said[-1] = said[-1][:1]
    sizes = [dice.randrange(1, dice.choice([20, 500])) for _ in said]
    overhead, task = dice.randrange(300), dice.choice([0, 0, 40, 200])
    tokens, index, cuts = overhead + sum(sizes), 0, []
    for nth, messages in enumerate(said[:-1], 1):
        index += len(messages)
        if dice.random() < 0.9:
            left = overhead + task + sum(sizes[nth:])
            cuts.append(Cut(index=index, turns_kept=len(said) - nth, tokens_after=left))
    history = tuple(message for messages in said for message in messages)
    return ContextView(tokens=tokens, budget=dice.choice([1, 300, 1000, 3000]), messages=history, cuts=tuple(cuts))


def after(view: ContextView, cut: Cut) -> ContextView:
    """The session as it is once *cut* was made."""
    later = [attrs.evolve(other, index=other.index - cut.index) for other in view.cuts if other.index > cut.index]
    return ContextView(
        tokens=cut.tokens_after, budget=view.budget, messages=view.messages[cut.index :], cuts=tuple(later)
    )


def rich(dice: random.Random, messages: Iterable[Message]) -> list[Message]:
    """*messages* with pictures, and with parts that only one of several providers understands."""
    return [attrs.evolve(message, parts=(*_extras(dice, message.role), *message.parts)) for message in messages]


def _extras(dice: random.Random, role: str) -> Iterable[Any]:
    if role == "user" and dice.random() < 0.1:
        yield Image("image/png", data="aGk=")
    if role == "assistant" and dice.random() < 0.3:
        provider = dice.choice(["one", "other"])
        yield Thinking(odd_text(dice), provider, "m", {"signature": odd_text(dice)})
        yield Private(provider, "m", {"blob": odd_text(dice)})


def chosen(strategy: ContextStrategy, seed: int) -> list[tuple[ContextView, Cut]]:
    """Views in which *strategy* chooses a cut, each with that."""
    dice = dice_of(f"desk {seed}")
    views = [attrs.evolve(a_view(dice), pressed=bool(nth % 2)) for nth in range(10)]
    return [(view, cut) for view in views if (cut := strategy.choose(view)) is not None]


class Served:
    """What one waits for at a `PracticeDesk`."""

    def __await__(self) -> Generator[Served, None, None]:
        yield self


@attrs.define(eq=False)
class PracticeDesk:
    """A desk at which nothing is real: every question has the same answer, or fails."""

    kept: int | None
    """How many thoughts there are; None is no chain."""

    answer: str | RunError
    failing: RunError | None = None
    """Raised where a thought is to be kept."""

    served: int = 0
    asked: list[str] = attrs.Factory(list)
    committed: list[tuple[str, str, list[int]]] = attrs.Factory(list)

    @property
    def thoughts(self) -> int:
        return self.kept or 0

    async def ask(self, prompt: str) -> str:
        self.asked.append(prompt)
        await self._served()
        if isinstance(self.answer, RunError):
            raise self.answer
        return self.answer

    async def commit(self, type: str, content: str, refs: Sequence[int] = ()) -> str | None:
        await self._served()
        if self.kept is None:
            return None
        if self.failing is not None:
            raise self.failing
        self.committed.append((type, content, list(refs)))
        self.kept += 1
        return f"[#{self.kept - 1}] {type}: {content}"

    async def _served(self) -> None:
        self.served += 1
        await Served()


def at_desk(work: Coroutine[Any, Any, Any], cancelled_at: int = 0) -> Any:
    """What *work* comes to; it may wait at a desk, some twenty times, and nowhere else."""
    served = 0
    try:
        on = work.send(None)
        while True:
            served += 1
            if not isinstance(on, Served):
                pytest.fail(f"it awaits {on!r}, which is not the desk's")
            if served > 20:
                pytest.fail("it goes to the desk again and again")
            on = work.throw(asyncio.CancelledError()) if served == cancelled_at else work.send(None)
    except StopIteration as end:
        return end.value
    finally:
        work.close()


@attrs.frozen
class Interview(Mode):
    """Asks one agent again and again."""

    name: ClassVar[str] = "interview"
    times: int

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for nth in range(self.times):
            await hub.ask("ada", prompt, note=f"This is turn {nth}.")
        return Outcome(complete=True)


@tool(effect="read")
async def look(at: str) -> str:
    """Look at something."""
    return f"{at}: water and sky. " * 12


class Model(ScriptedProvider):
    """Looks at this and that, writes saves when it may not, and finds every fifth request too long, once."""

    name: ClassVar[str] = "model"

    def __init__(self, dice: random.Random) -> None:
        super().__init__(self.says, repeat=True)
        self.dice = dice
        self.refused: list[int] = []
        """The sizes of the requests that it found too long."""

        self.retried: list[int] = []
        """And of those that came instead."""

    def says(self, request: Request) -> Completion:
        if request.tool_choice == "none":
            return Completion(Message.assistant(SAVE))
        if len(self.retried) < len(self.refused):
            self.retried.append(size(request))
        elif len(self.requests) % 5 == 0 and sum(message.role == "user" for message in request.messages) > 1:
            self.refused.append(size(request))
            raise ContextTooLong("too many tokens", self.name)
        calls = [ToolCall(f"c{n}", "look", {"at": odd_text(self.dice)}) for n in range(self.dice.randrange(4))]
        if request.messages[-1].role == "tool":
            calls = calls[1:2]
        message = Message("assistant", (Text("The sea is calm. " * self.dice.randrange(1, 30)), *calls))
        return Completion(rich(self.dice, [message])[0], "tool_use" if calls else "end")


def size(request: Request) -> int:
    """The estimate for *request*."""
    tools = sum(estimate_tokens(encode(definition.to_json())) for definition in request.tools)
    return estimate_tokens(request.instructions) + tools + sum(map(message_tokens, request.messages))


class Notes(ThoughtChain):
    """A chain in memory."""

    name: ClassVar[str] = "notes"

    def __init__(self) -> None:
        self.kept: list[Thought] = []

    @property
    def thoughts(self) -> Sequence[Thought]:
        return self.kept

    def append(
        self, agent: str, type: str, content: str, refs: Iterable[int] = (), meta: JsonObject | None = None
    ) -> Thought:
        refs, index = self.checked_refs(refs), len(self.kept)
        self.kept.append(
            Thought(index=index, at=0.0, agent=agent, type=type, content=content, refs=refs, meta=meta or {})
        )
        return self.kept[-1]
