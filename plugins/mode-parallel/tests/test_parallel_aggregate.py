"""How replies become one answer: functions of texts, and what settings say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.errors import SettingsError, SetupError
from cloudllm_mode_parallel import Aggregator, Parallel, Quorum
from cloudllm_mode_parallel.aggregate import chosen, count, same, taking_part

ANSWERS = st.lists(st.sampled_from(["yes", "Yes.", "no", "NO!", "perhaps", " "]) | st.text(max_size=5), max_size=8)


# -- what is the same answer --------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Tuesday",
        "tuesday.",
        " TUESDAY!\n",
        "**Tuesday**",
        '"Tuesday"',
        "(tuesday)",
        "`Tuesday`",
        "_Tuesday_",
        "«Tuesday»…",
    ],
)
def test_case_spaces_and_punctuation_do_not_matter(text):
    """Models dress the same answer differently."""
    assert "tuesday" == same(text)


def test_the_same_answer_in_other_scripts():
    """Case and composed letters are those of Unicode, not only of English; other scripts' punctuation falls off too."""
    assert same("STRASSE") == same("straße")
    assert same("Cafe\u0301!") == same("caf\u00e9")
    assert same("はい。") == same("はい")
    assert "yes it's 3.5" == same("Yes,  it's\n3.5.")


@pytest.mark.parametrize(
    ("one", "other"),
    [("5", "-5"), ("3.5", "35"), ("0.5", "5"), (".5", "5"), ("50%", "50"), ("C", "C#"), ("C", "C++"), ("1/2", "12"),
     ("1,000", "1000"), ("10²", "102"), ("$5", "5"), ("yes", "no"), ("not yes", "yes"), ("well", "we'll"), ("-f", "f")],
)  # fmt: skip
def test_different_answers_stay_different(one, other):
    """What has a meaning is not dropped, for an agreement that is none is worse than one that is missed."""
    assert same(one) != same(other)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u00a0"])
def test_a_blank_text_is_no_answer(text):
    """It is equal to nothing, and gets no vote."""
    assert "" == same(text)
    assert {} == count([text, text])


def test_punctuation_alone_is_an_answer():
    """If nothing would be left, the text stands as it is."""
    assert ("?!", "?", "…") == (same(" ?! "), same("?"), same("…"))


@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    """What is compared is itself in the form in which it is compared; only blank texts have none."""
    assert same(text) == same(same(text))
    assert bool(same(text)) == bool(text.strip())


@given(st.text(), st.sampled_from(["{}", " {}\n", "{}.", "**{}**", "{}!?", '"{}"']))
def test_dressing_does_not_matter(text, dress):
    """Whatever is said, as long as a word is in it, spaces and punctuation around it change nothing."""
    if any(map(str.isalnum, text)) and text == text.strip() and text[:1].isalnum() and text[-1:].isalnum():
        assert same(text) == same(dress.format(text))


# -- votes --------------------------------------------------------------------


def test_votes_are_counted_by_answer():
    """Most votes first, each answer as it was said first."""
    assert {"No.": 3, "Yes!": 2, "Perhaps": 1} == count(["Yes!", "No.", "no", "Perhaps", "NO", "yes", " "])
    assert ["No.", "Yes!", "Perhaps"] == list(count(["Yes!", "No.", "no", "Perhaps", "NO", "yes", " "]))


def test_ties_go_to_what_came_first():
    """The order of arrival decides, not the alphabet."""
    assert "b" == chosen("vote", ["b", "a", "A.", "B."])
    assert "a" == chosen("vote", ["c", "a", "A", "b"])


@given(ANSWERS)
def test_the_winner_has_most_votes(texts):
    """Nobody has more, nobody who has as many came earlier, and every answer that is not blank was counted once."""
    tally, winner = count(texts), chosen("vote", texts)

    assert sum(tally.values()) == sum(bool(text.strip()) for text in texts)
    assert (winner is None) == (not tally)
    if winner is not None:
        best = [text for text in tally if tally[text] == max(tally.values())]
        assert winner == min(best, key=texts.index)


@given(ANSWERS, st.integers(1, 5))
def test_a_quorum_is_that_many_of_one_answer(texts, n):
    """It is reached exactly when an answer has n votes, and its answer stays when no more come."""
    answer = chosen(Quorum(n), texts)

    assert (answer is not None) == (max(count(texts).values(), default=0) >= n)
    assert answer is None or count(texts)[answer] >= n


def test_the_first_answer_is_not_blank():
    """Who says nothing first does not win."""
    assert "b" == chosen("first", [" ", "b", "a"])
    assert chosen("first", ["", "\n"]) is None is chosen("first", [])


# -- who takes part -----------------------------------------------------------


def test_an_aggregator_takes_no_part_in_the_rounds():
    """Everybody else does, in order."""
    assert ["ada", "cy"] == taking_part(Aggregator("bob"), ["ada", "bob", "cy"])
    for aggregate in (None, "first", "vote", Quorum(2)):
        assert ["ada", "bob"] == taking_part(aggregate, ["ada", "bob"])


@pytest.mark.parametrize(
    ("aggregate", "agents", "sentence"),
    [
        (Aggregator("bop"), ["ada", "bob"],
         "Parallel(aggregate='bop'): no agent is called 'bop' (agents: ada, bob). Did you mean 'bob'?"),
        (Aggregator("votes"), ["ada", "bob"],
         "Parallel(aggregate='votes'): no agent is called 'votes' (agents: ada, bob). Did you mean 'vote'?"),
        (Aggregator("zoe"), ["ada", "bob"],
         ("Parallel(aggregate='zoe'): no agent is called 'zoe' (agents: ada, bob). "
          "Name one of them, or choose 'first' or 'vote'.")),
        (Aggregator("ada"), ["ada"],
         "Parallel(aggregate='ada'): 'ada' has nobody to hear. Add another agent."),
        (Quorum(3), ["ada", "bob"],
         "Parallel(aggregate=Quorum(3)) can never be met by 2 agents. Ask for fewer."),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_agents(aggregate, agents, sentence):
    """It is named, with the agents there are and the likely intent."""
    with pytest.raises(SetupError, match=f"^{re.escape(sentence)}$"):
        taking_part(aggregate, agents)


# -- settings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "given"),
    [("ada", "ada"), ("ada", Aggregator("ada")), ("first", "first"), ("vote", "vote"), ({"quorum": 3}, Quorum(3)),
     ({"agent": "first"}, Aggregator("first")), ({"agent": "vote"}, Aggregator("vote")), (None, None)],
)  # fmt: skip
def test_a_team_file_can_say_it(plain, given):
    """Every aggregate has a plain form, an agent called as one of our words too; and settings give it back."""
    mode = Parallel.from_settings({"aggregate": plain})

    assert Parallel(aggregate=given) == mode == Parallel.from_settings(mode.settings())


@pytest.mark.parametrize(
    ("aggregate", "found", "hint"),
    [
        (3, "found 3, ", ""),
        (True, "found True, ", ""),
        (["ada"], "found ['ada'], ", ""),
        ({}, "found {}, ", ""),
        ({"quorm": 3}, "found {'quorm': 3}, ", " Did you mean 'quorum'?"),
        ({"agnt": "ada"}, "found {'agnt': 'ada'}, ", " Did you mean 'agent'?"),
        ({"quorum": 0}, "found {'quorum': 0}, ", ""),
        ({"quorum": True}, "found {'quorum': True}, ", ""),
        ({"quorum": "3"}, "found {'quorum': '3'}, ", ""),
        ({"quorum": 2, "agent": "ada"}, "found {'quorum': 2, 'agent': 'ada'}, ", ""),
    ],
)
def test_what_a_team_file_cannot_say(aggregate, found, hint):
    """It is shown, with what would be possible and the near miss."""
    expected = 'expected an agent\'s name, "first", "vote", { quorum = 2 } or { agent = "name" }.'
    with pytest.raises(SettingsError, match=f"^{re.escape(f'aggregate: {found}{expected}{hint}')}$"):
        Parallel.from_settings({"aggregate": aggregate})


def test_what_python_cannot_say():
    """Wrong numbers and other things are refused with a sentence."""
    for wrong in (0, -1, True, 1.5, "3"):
        with pytest.raises(ValueError, match=r"give how many replies must agree, 1 or more\.$"):
            Quorum(wrong)  # type: ignore[arg-type] # that is the mistake
    sentence = "Parallel(aggregate=3): give an agent's name, 'first', 'vote' or Quorum(n)."
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        Parallel(aggregate=3)  # type: ignore[arg-type] # that is the mistake
