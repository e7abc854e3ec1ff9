"""NoveltyAware: the measure, the triggers, and an inner strategy that really acts."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudllm_context_novelty
from cloudllm_context_novelty import NoveltyAware, bigram_novelty, cloudllm_register_context_strategy
from cloudllm_context_novelty.measure import text_of
from cloudllm_core import (
    Agent,
    ContextStrategy,
    ContextView,
    Cut,
    Desk,
    Image,
    Message,
    Registry,
    Text,
    ToolCall,
    ToolResult,
    hookimpl,
)
from cloudllm_core.errors import SettingsError
from cloudllm_core.testing import ScriptedProvider

# -- the measure --------------------------------------------------------------


@pytest.mark.parametrize(
    ("recent", "earlier", "novelty"),
    [
        ([], [], 1.0),
        (["the sea is calm"], [], 1.0),
        (["the sea"], ["the sea"], 0.0),
        (["THE Sea"], ["the\n sea"], 0.0),
        (["the sea is calm"], ["the sea"], 2 / 3),
        (["the sea is the sea"], ["sea is"], 2 / 3),
        (["word"], ["the sea"], 1.0),
        (["", " "], ["the sea"], 1.0),
        (["sea the"], ["the sea"], 1.0),
        (["the", "sea"], ["the sea"], 1.0),
        (["the sea."], ["the sea"], 1.0),
    ],
)
def test_novelty_is_the_share_of_new_pairs(recent, earlier, novelty):
    """Pairs of neighbours within a text, in lower case, each counted once; none at all are all new."""
    assert novelty == pytest.approx(bigram_novelty(recent, earlier))


texts = st.lists(st.lists(st.sampled_from(["the", "Sea", "is", "calm"]), max_size=6).map(" ".join), max_size=6)


@given(texts, texts)
def test_novelty_is_a_share(recent, earlier):
    """From 0 to 1; what was said before is not new, and more of the past makes nothing newer."""
    novelty = bigram_novelty(recent, earlier)

    assert 0 <= novelty <= 1
    assert bigram_novelty(recent, [*earlier, *recent]) in (0.0, 1.0)
    assert bigram_novelty(recent, [*earlier, "the sea is calm"]) <= novelty


def test_a_message_says_its_text_and_its_results():
    """Calls, pictures and thoughts are not measured."""
    assert "the sea\n" + "calm\nwet" == "\n".join(
        [
            text_of(Message("user", (Text("the sea"), Image("image/png", url="http://x/")))).strip(),
            text_of(Message.tool([ToolResult("1", "calm"), ToolResult("2", "wet")])).strip(),
        ]
    )
    assert "" == text_of(Message.assistant("", ToolCall("1", "look", {"at": "the sea"})))


# -- the triggers -------------------------------------------------------------


class Inner(ContextStrategy):
    """Acts only when it must, and says so."""

    name: ClassVar[str] = "inner"

    def choose(self, view: ContextView) -> Cut | None:
        return view.cuts[0] if view.pressed and view.cuts else None

    async def summarise(self, view: ContextView, cut: Cut, desk: Desk) -> str | None:
        return f"pressed: {view.pressed}, cut: {cut.index}"


def session(load: float, said: list[str], cuts: bool = True, pressed: bool = False) -> ContextView:
    """A session that fills so much of its budget, in which *said* was said in turn."""
    messages = [Message.user(text) if nth % 2 == 0 else Message.assistant(text) for nth, text in enumerate(said)]
    cut = Cut(index=2, turns_kept=1, tokens_after=10)
    return ContextView(
        tokens=round(load * 1000), budget=1000, messages=tuple(messages), cuts=(cut,) if cuts else (), pressed=pressed
    )


SAME = ["the sea is calm"] * 9
NEW = ["the sea is calm", "so it is", "what does a gull eat", "fish and chips", "who pays for that"]


@pytest.mark.parametrize(
    ("load", "said", "acts"),
    [
        (0.70, SAME, False),
        (0.701, SAME, True),
        (0.701, NEW, False),
        (0.9, NEW, False),
        (0.901, NEW, True),
        (0.1, SAME, False),
    ],
)
def test_acts_at_high_load_or_at_moderate_load_without_news(load, said, acts):
    """Both thresholds are strict, and so is that of the novelty."""
    assert acts == (NoveltyAware(Inner()).choose(session(load, said)) is not None)


def test_only_less_novelty_than_asked_counts():
    """Exactly the threshold is not less."""
    strategies = [
        NoveltyAware(Inner(), novelty=novelty, measure=lambda recent, earlier: 0.5) for novelty in (0.5, 0.51)
    ]

    assert [False, True] == [strategy.choose(session(0.8, SAME)) is not None for strategy in strategies]


def test_the_provider_s_word_counts_however_low_the_load():
    """A pressed view is handed on."""
    assert NoveltyAware(Inner()).choose(session(0.1, NEW, pressed=True)) is not None


def test_a_measure_may_be_brought():
    """It gets the last messages and those before them, and only where it matters."""
    asked: list[tuple[list[str], list[str]]] = []

    def measure(recent: Any, earlier: Any) -> float:
        asked.append((list(recent), list(earlier)))
        return 0.0

    strategy = NoveltyAware(Inner(), window=2, measure=measure)
    chosen = [strategy.choose(session(load, NEW)) for load in (0.5, 0.8, 0.95)]

    assert [False, True, True] == [cut is not None for cut in chosen]
    assert [(NEW[-2:], NEW[:-2])] == asked


def test_nothing_is_measured_where_nothing_can_be_cut():
    """A session of one turn is left alone without reading it."""

    def measure(recent: Any, earlier: Any) -> float:
        raise AssertionError

    assert NoveltyAware(Inner(), measure=measure).choose(session(0.8, SAME[:1], cuts=False)) is None


def test_the_last_four_messages_are_measured():
    """News five messages ago is old."""
    told = ["a b", "c d", "something new altogether", "a b", "c d", "a b", "c d"]

    assert NoveltyAware(Inner()).choose(session(0.8, told)) is not None
    assert NoveltyAware(Inner(), window=5).choose(session(0.8, told)) is None


def test_inner_writes_the_summary():
    """It sees the same pressed view in which it chose."""
    view = session(0.8, SAME)
    strategy = NoveltyAware(Inner())

    assert "pressed: True, cut: 2" == asyncio.run(strategy.summarise(view, view.cuts[0], None))


@pytest.mark.parametrize("wrong", [{"high": 1.1}, {"moderate": 0.95}, {"novelty": -1}, {"window": 0}, {"measure": "x"}])
def test_refuses_settings_that_make_no_sense(wrong):
    """The setting is named."""
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        NoveltyAware(Inner(), **wrong)


def test_an_inner_strategy_is_asked_for():
    """Without one, or with something else, the error says what is needed."""
    with pytest.raises(SettingsError, match="no 'inner', expected 'inner', which 'novelty' needs"):
        NoveltyAware.from_settings({})
    with pytest.raises(SettingsError, match="inner: found 'trim', expected a context strategy"):
        NoveltyAware.from_settings({"inner": "trim"})
    assert "novelty" == cloudllm_register_context_strategy().name


@attrs.frozen
class Oldest(ContextStrategy):
    """Drops old turns above a threshold that is never reached, or when it must: as `Trim` does."""

    name: ClassVar[str] = "oldest"
    threshold: float = 1.0

    def choose(self, view: ContextView) -> Cut | None:
        return next(
            (
                cut
                for cut in view.cuts
                if (view.pressed or view.load > self.threshold) and cut.tokens_after < 0.6 * view.tokens
            ),
            None,
        )


class Offer:
    """Offers the inner strategy of these tests."""

    @hookimpl
    def cloudllm_register_context_strategy(self) -> type[Oldest]:
        return Oldest


@pytest.mark.parametrize(
    ("inner", "threshold"), [("oldest", 1.0), ({"name": "oldest", "threshold": 0.5}, 0.5)], ids=["name", "table"]
)
def test_a_team_file_names_the_inner_strategy(inner, threshold):
    """By name or as a table, inside the table of this one."""
    registry = Registry.of(cloudllm_context_novelty, Offer())
    table = {"name": "novelty", "high": 0.95, "inner": inner}
    ada = Agent("ada", ScriptedProvider(), strategy=table, registry=registry)

    assert NoveltyAware(Oldest(threshold), high=0.95) == ada.strategy


# -- in an agent --------------------------------------------------------------


def talk(model: ScriptedProvider, turns: int) -> list[int]:
    """The length of ada's session after each turn."""
    ada = Agent("ada", model, strategy=NoveltyAware(Oldest()), max_tokens=1000)
    lengths = []
    for nth in range(turns):
        ada.send_sync(f"Say {nth}.")
        lengths.append(ada.session_history_len)
    return lengths


def test_a_trimming_strategy_inside_really_trims():
    """Around a strategy that only drops turns it does so, in a real loop: in the original nothing happened."""
    lengths = talk(ScriptedProvider("As I said before, the sea is calm. " * 10, repeat=True), 12)

    assert max(lengths) < 2 * 12
    assert any(now < before for before, now in pairwise(lengths))


def test_a_session_full_of_news_is_left_alone_for_longer():
    """News stays until the load is high; repetition goes at moderate load."""
    news = ScriptedProvider(lambda r: " ".join(f"{len(r.messages)}-{n}" for n in range(70)), repeat=True)
    dull = ScriptedProvider(" ".join(f"1-{n}" for n in range(70)), repeat=True)

    def first_cut(lengths: list[int]) -> int:
        return next(nth for nth in range(1, len(lengths)) if lengths[nth] <= lengths[nth - 1])

    assert first_cut(talk(dull, 12)) < first_cut(talk(news, 12))
