"""How far texts agree: the default scorer, for any texts in any script, and what is done about others."""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudllm_core.errors import SettingsError, SetupError
from cloudllm_mode_debate import Debate, jaccard
from cloudllm_mode_debate.agreement import measure, words_of

LETTERS = "abcäßλжאहिन्दी한글中文のカナไทย 12 .,-!👍\n\u200d\ufe0f\u0301"
TEXTS = st.text() | st.text(LETTERS, max_size=20)
SEVERAL = st.lists(TEXTS, min_size=2, max_size=6)


# -- what is true of any texts ------------------------------------------------


@given(TEXTS, TEXTS)
def test_it_is_symmetric(one, other):
    """Who agrees with whom is one and the same."""
    assert jaccard([one, other]) == jaccard([other, one])


@given(SEVERAL)
def test_it_is_in_range(texts):
    """Agreement is a number from 0 to 1."""
    assert 0 <= jaccard(texts) <= 1


@given(SEVERAL, st.randoms(use_true_random=False))
@example(["d f", "c d f", "f"], random.Random(1))  # 2/3 + 1/2 + 1/3 depends on the order of adding
def test_the_order_of_texts_does_not_matter(texts, dice):
    """Not even in the last bit."""
    shuffled = list(texts)
    dice.shuffle(shuffled)

    assert jaccard(texts) == jaccard(shuffled)


@given(TEXTS, st.integers(2, 7))
def test_the_same_text_agrees_fully(text, times):
    """Whatever it is, in whatever number, and exactly: a threshold of 1 can be reached."""
    assert 1.0 == jaccard([text] * times)


@given(SEVERAL)
def test_it_is_the_mean_of_all_pairs(texts):
    """Each pair counts once, and counts the same."""
    pairs = [jaccard(pair) for pair in itertools.combinations(texts, 2)]

    assert math.isclose(sum(pairs) / len(pairs), jaccard(texts), abs_tol=1e-12)


@given(st.lists(st.text(LETTERS, min_size=1), min_size=1))
def test_the_order_of_words_does_not_matter(words):
    """A text is the set of its words: order, number and what stands between them are nothing."""
    assert words_of(" ".join(words)) == words_of(" \n".join([*reversed(words), *words]))


@given(TEXTS.filter(str.strip))
def test_only_empty_text_has_no_words(text):
    """Nothing that can be seen is taken for silence."""
    assert words_of(text)


# -- what counts --------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [
        ("", "", 1.0),
        (" \n", "", 1.0),
        ("", "something", 0.0),
        ("yes", "no", 0.0),
        ("a b", "a c", 1 / 3),
        ("Yes, WE can!", "yes we can", 1.0),
        ("one two three four", "one two three five", 3 / 5),
        ("don't", "don’t", 1.0),
        ("yes yes yes no", "yes no", 1.0),
        ("12 boats", "13 boats", 1 / 3),
        ("snake_case", "snake case", 1.0),
        ("👍", "👍", 1.0),
        ("👍", "👎", 0.0),
        ("!", "?", 0.0),
        ("❤️ peace", "peace", 1.0),
    ],
)
def test_what_is_compared(one, other, score):
    """Words without case and punctuation; two empty texts agree, and one of them agrees with nothing."""
    assert score == jaccard([one, other])


def test_short_words_count():
    """Regression (B4): texts of short words only were taken as empty, and so as agreeing."""
    assert 0.0 == jaccard(["I am in", "No, go on"])
    assert {"i", "am", "in"} == words_of("I am in")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("STRASSE Straße", {"strasse"}),
        ("Καλημέρα ΚΑΛΗΜΕΡΑ", {"καλημέρα", "καλημερα"}),
        ("Привет, МИР", {"привет", "мир"}),
        ("שלום עולם", {"שלום", "עולם"}),
        ("हिन्दी भाषा", {"हिन्दी", "भाषा"}),
        ("한국어 문장", {"한국어", "문장"}),
        ("我们同意", {"我们", "们同", "同意"}),
        ("好。", {"好"}),
        ("ＡＢＣ１２", {"abc12"}),
        ("カタカナ、の", {"カタ", "タカ", "カナ", "の"}),
        ("ใช่", {"ใช", "ช่"}),
        ("用 Python3 写", {"用", "python3", "写"}),
        ("用Python3写", {"用", "python3", "写"}),
        ("cafe\u0301 café", {"café"}),
    ],
)
def test_words_of_any_script(text, words):
    """Marks belong to their letters; where no spaces are written, each two characters are a word."""
    assert words == words_of(text)


@pytest.mark.parametrize(
    ("alike", "different"),
    [
        (("我们明天中午出发。", "我们明天中午一起出发。"), "他反对这个计划"),
        (("私たちは正午に出発します", "私たちは明日正午に出発します"), "その案に反対だ"),
        (("เราออกเดินทางตอนเที่ยง", "เราจะออกเดินทางตอนเที่ยง"), "ฝนตกหนัก"),
    ],
)
def test_texts_without_spaces_are_compared_in_parts(alike, different):
    """Nearly the same sentence nearly agrees, and another one does not: it is not one giant word."""
    assert 0.5 < jaccard(alike) < 1
    assert jaccard([alike[0], different]) < 0.2


def test_one_text_cannot_agree():
    """Agreement is between texts: fewer than two are refused."""
    with pytest.raises(ValueError, match="^jaccard compares texts with each other: it takes two or more, and got 1.$"):
        jaccard(["alone"])


# -- other scorers ------------------------------------------------------------


@pytest.mark.parametrize("score", [0, 1, 0.0, 0.5, 1.0, Fraction(1, 2)])
def test_numbers_in_range_are_taken(score):
    """Any kind of number will do, and becomes a float."""
    assert (float, score) == (type(taken := measure(lambda texts: score, ["a", "b"])), taken)


@pytest.mark.parametrize(
    "score", [-0.01, 1.01, math.nan, math.inf, -math.inf, 10**400, None, "0.5", True, [1.0], 1j], ids=repr
)
def test_anything_else_is_refused(score):
    """What is no number, not finite or out of range is named, and so is the scorer."""

    def wrong(texts):
        return score

    with pytest.raises(SetupError) as refused:
        measure(wrong, ["a", "b"])
    assert str(refused.value).startswith("The scorer ")
    assert str(refused.value).endswith(f".wrong gave {score!r}; agreement is a number from 0 to 1. Correct the scorer.")


class Constant:
    """A scorer with settings of its own."""

    def __call__(self, texts):
        return 0.5

    def method(self, texts):
        return 0.5


def test_scorers_have_names():
    """Settings hold ours by its short name, and any other by where it comes from, whatever kind of thing it is."""

    def jaccard(texts):
        return 0.0

    def named(scorer):
        return Debate(scorer=scorer).settings()["scorer"]

    assert "jaccard" == Debate().settings()["scorer"]
    assert f"{__name__}.test_scorers_have_names.<locals>.jaccard" == named(jaccard)
    assert f"{__name__}.Constant" == named(Constant())
    assert f"{__name__}.Constant.method" == named(Constant().method)
    assert "functools.partial" == named(functools.partial(jaccard))


@pytest.mark.parametrize(
    ("scorer", "sentence"),
    [
        ("jacard", "scorer: found 'jacard', expected the name of a scorer ('jaccard'). Did you mean 'jaccard'?"),
        ("os.system", "scorer: found 'os.system', expected the name of a scorer ('jaccard')."),
        (3, "scorer: found 3, expected the name of a scorer ('jaccard') or a plain function of the texts."),
    ],
)
def test_what_is_no_scorer_is_refused(scorer, sentence):
    """In Python as in a team file, before anything runs."""
    for make in (lambda: Debate(scorer=scorer), lambda: Debate.from_settings({"scorer": scorer})):
        with pytest.raises(SettingsError) as refused:
            make()
        assert sentence == str(refused.value).strip()


def test_an_async_scorer_is_refused():
    """A scorer is a plain function: one that waits for something could not be replayed."""

    async def ask_a_model(texts):
        await asyncio.sleep(0)

    with pytest.raises(SettingsError, match=r"or a plain function of the texts\.$"):
        Debate(scorer=ask_a_model)
