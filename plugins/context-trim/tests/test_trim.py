"""Trim, on views of sessions made by hand and by the dozen."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_context_trim import Trim, cloudllm_register_context_strategy
from cloudllm_core import ContextView, Cut, Message
from cloudllm_core.errors import SettingsError


def session(sizes: list[int], budget: int, overhead: int = 0, legal: set[int] | None = None) -> ContextView:
    """A session whose turns have *sizes* tokens; it may be cut before each turn, or only before those *legal*."""
    tokens = overhead + sum(sizes)
    cuts = [
        Cut(index=2 * nth, turns_kept=len(sizes) - nth, tokens_after=tokens - sum(sizes[:nth]))
        for nth in range(1, len(sizes))
        if legal is None or nth in legal
    ]
    said = [Message("user" if index % 2 == 0 else "assistant", ()) for index in range(2 * len(sizes) - 1)]
    return ContextView(tokens=tokens, budget=budget, messages=tuple(said), cuts=tuple(cuts))


def after(view: ContextView, cut: Cut) -> ContextView:
    """The session as it is once *cut* was made."""
    later = [attrs.evolve(other, index=other.index - cut.index) for other in view.cuts if other.index > cut.index]
    return ContextView(
        tokens=cut.tokens_after, budget=view.budget, messages=view.messages[cut.index :], cuts=tuple(later)
    )


def turns(view: ContextView) -> int:
    return sum(message.role == "user" for message in view.messages)


@st.composite
def sessions(draw: st.DrawFn) -> ContextView:
    sizes = draw(st.lists(st.integers(1, 500), min_size=1, max_size=8))
    legal = draw(st.sets(st.integers(1, len(sizes)))) if draw(st.booleans()) else None
    return session(sizes, budget=draw(st.integers(0, 3000)), overhead=draw(st.integers(0, 300)), legal=legal)


@st.composite
def trims(draw: st.DrawFn) -> Trim:
    threshold = draw(st.floats(0, 1))
    return Trim(
        turns=draw(st.none() | st.integers(1, 8)), threshold=threshold, target=threshold * draw(st.floats(0, 1))
    )


@given(sessions(), trims())
def test_chooses_among_the_offered_cuts(view, trim):
    """Trim makes no cut of its own."""
    cut = trim.choose(view)

    assert cut is None or cut in view.cuts


@given(sessions(), trims())
def test_never_makes_a_session_longer(view, trim):
    """A chosen cut always makes room."""
    cut = trim.choose(view)

    assert cut is None or cut.tokens_after < view.tokens


@given(sessions(), trims())
def test_is_done_after_one_cut(view, trim):
    """Asked again about what it left, Trim has nothing to say."""
    cut = trim.choose(view)

    assert cut is None or trim.choose(after(view, cut)) is None


@given(sessions(), st.integers(1, 4))
def test_keeps_so_many_turns_or_the_fewest_possible(view, most):
    """With turns=n at most n turns stay, unless no legal cut leaves so few."""
    cut = Trim(turns=most).choose(view)
    left = turns(view) if cut is None else cut.turns_kept
    fewest = min([turns(view), *(cut.turns_kept for cut in view.cuts)])

    assert left <= max(most, fewest)


@given(st.integers(1, 12), st.integers(1, 12))
def test_keeps_as_many_turns_as_it_may(there, most):
    """turns=n is no reason to drop the n-th turn from the end."""
    view = session([10] * there, budget=100_000)
    cut = Trim(turns=most).choose(view)

    assert min(there, most) == (there if cut is None else cut.turns_kept)


@given(sessions())
def test_trims_to_the_target_or_as_far_as_it_can(view):
    """Above the threshold, what stays is within the target, or the last cut was made."""
    cut = Trim().choose(view)

    if view.load > 0.85 and view.cuts:
        assert cut is not None
        assert cut.tokens_after / view.budget <= 0.6 or cut == view.cuts[-1]
    else:
        assert cut is None


@given(sessions(), trims())
def test_a_pressed_session_becomes_shorter_if_it_can(view, trim):
    """However low the load, a cut that makes room is found, and reaches the target or is the last there is."""
    pressed = attrs.evolve(view, pressed=True)
    shorter = [cut for cut in view.cuts if cut.tokens_after < view.tokens]
    cut = trim.choose(pressed)

    if shorter:
        assert cut in shorter
        assert cut == shorter[-1] or cut.tokens_after <= trim.target * min(view.tokens, view.budget) + 1e-9
    else:
        assert cut is None


def test_a_pressed_session_is_trimmed_by_what_was_too_long():
    """A provider with a smaller window than the budget: the target is a share of the request, not of the budget."""
    view = attrs.evolve(session([100] * 10, budget=100_000), pressed=True)

    assert (6, 600) == (Trim().choose(view).turns_kept, Trim().choose(view).tokens_after)
    assert 2 == Trim(turns=2).choose(view).turns_kept


def test_a_pressed_session_over_budget_is_trimmed_by_the_budget():
    """Where the budget is the smaller of the two, the target is a share of it."""
    view = attrs.evolve(session([100] * 10, budget=500), pressed=True)

    assert 300 == Trim().choose(view).tokens_after


def test_drops_no_more_than_the_target_asks():
    """The first cut that reaches the target is taken."""
    cut = Trim().choose(session([100] * 9, budget=1000))

    assert cut is not None
    assert (6, 600) == (cut.turns_kept, cut.tokens_after)


def test_leaves_a_session_at_the_threshold_alone():
    """Only a load strictly above the threshold is trimmed."""
    at = session([85] * 10, budget=1000)
    above = session([85] * 9 + [86], budget=1000)

    assert Trim().choose(at) is None
    assert Trim().choose(above) is not None


def test_a_piece_of_a_turn_does_not_stay_with_the_turns_kept():
    """Where a session may be cut inside a turn, turns=n still keeps whole turns."""
    cuts = (
        Cut(index=3, turns_kept=2, tokens_after=80),
        Cut(index=4, turns_kept=2, tokens_after=60),
        Cut(index=6, turns_kept=1, tokens_after=30),
    )
    said = [Message(role, ()) for role in ("user", "assistant", "tool", "assistant", "user", "assistant", "user")]
    cut = Trim(turns=2).choose(ContextView(tokens=100, budget=1000, messages=tuple(said), cuts=cuts))

    assert cuts[1] == cut


def test_turns_and_budget_both_have_their_say():
    """The later of the two cuts is made."""
    assert 2 == Trim(turns=2).choose(session([100] * 9, budget=1000)).turns_kept
    assert 6 == Trim(turns=8).choose(session([100] * 9, budget=1000)).turns_kept


def test_a_view_without_cuts_stays_as_it_is():
    """When nothing may be cut, nothing is."""
    assert Trim(turns=1).choose(session([5000], budget=1000)) is None


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"threshold": 1.5}, {"threshold": -1}, {"target": -0.1}])
def test_refuses_settings_that_make_no_sense(wrong):
    """A share lies between 0 and 1, and one turn at least stays."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Trim(**wrong)


def test_a_target_above_the_threshold_is_explained():
    """Both settings and their values are named."""
    with pytest.raises(SettingsError) as caught:
        Trim.from_settings({"threshold": 0.5})

    assert "'target' (0.6) must not be above 'threshold' (0.5)" in str(caught.value)


def test_is_made_from_a_table():
    """A team file's table gives the same as the call."""
    assert Trim(turns=2, target=0.5) == Trim.from_settings({"turns": 2, "target": 0.5})


def test_answers_its_hook():
    """The kernel gets the class, under the name users write."""
    assert "trim" == cloudllm_register_context_strategy().name
