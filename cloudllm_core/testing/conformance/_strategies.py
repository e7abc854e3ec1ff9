"""The contract of context strategies."""

from __future__ import annotations

import random
import re

import attrs
import pytest

from ..._history import validate_history
from ..._messages import Message
from ..._session import Session, Turn
from ..._strategies import ContextStrategy, ContextView, Cut
from ._chance import dice_of, turns

TASK = "The task: write a poem about tides."


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
        view = a_view(dice_of(f"view {seed}"))
        asked = 0
        while (cut := strategy.choose(view)) is not None:
            asked += 1
            assert asked <= 20
            view = after(view, cut)

    @pytest.mark.parametrize("seed", range(30))
    def test_histories_stay_legal_and_keep_the_task(self, strategy: ContextStrategy, seed: int) -> None:
        """Through a long conversation with tools, every request is legal, holds the task and is as long as was said."""
        dice = dice_of(f"session {seed}")
        session, extra = Session(dice.choice([40, 150, 600])), dice.randrange(40)
        for nth, messages in enumerate(turns(dice, 12)):
            turn = session.turn()
            opening = messages[0].text
            turn.open([TASK, opening] if nth == 0 else [opening], f"note {nth}", TASK if nth == 0 else None)
            for message in messages[1:]:
                if message.role == "assistant":
                    self._make_room(strategy, turn, extra)
                    validate_history(turn.messages)
                    assert TASK in "\n".join(sent.text for sent in turn.messages)
                    assert opening in turn.messages[-1].text or turn.messages[-1].role == "tool", "it lost the turn"
                turn.add(message)
            turn.commit()
            validate_history(session.messages)

    def _make_room(self, strategy: ContextStrategy, turn: Turn, extra: int) -> None:
        view = turn.view(extra)
        cut = strategy.choose(view)
        if cut is not None:
            assert cut in view.cuts
            turn.cut(cut.index)
            assert turn.tokens + extra <= view.tokens


def a_view(dice: random.Random) -> ContextView:
    """A session of a few turns, with some of its legal cuts."""
    said = list(turns(dice, dice.randrange(1, 7)))
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
