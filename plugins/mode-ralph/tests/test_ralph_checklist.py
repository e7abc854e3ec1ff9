"""The checklist of a run: who begins with which task, and what a check's judgement means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_mode_ralph import RalphTask
from cloudllm_mode_ralph.checklist import Checklist, shares
from cloudllm_mode_ralph.judging import rejection

AGENTS = ("ada", "bob", "cy")
IDS = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("ready", "before", "given"),
    [
        ("abcd", {}, "abc"),
        ("ab", {}, "aba"),
        ("a", {}, "aaa"),
        ("bcd", {"ada": "a", "bob": "b", "cy": "c"}, "dbc"),
        ("cd", {"ada": "a", "bob": "b", "cy": "c"}, "ddc"),
        ("abc", {"ada": "b", "bob": "b", "cy": "b"}, "bac"),
        ("abc", {"cy": "a"}, "bca"),
    ],
)
def test_who_begins_with_which_task(ready, before, given):
    """Each with one that nobody has; who has one keeps it; where there are too few, some share."""
    assert dict(zip(AGENTS, given, strict=True)) == shares(AGENTS, list(ready), before)


@given(
    st.lists(st.text(min_size=1, max_size=2), min_size=1, max_size=6, unique=True),
    st.lists(st.sampled_from(IDS), min_size=1, unique=True),
    st.dictionaries(st.text(min_size=1, max_size=2), st.sampled_from(IDS)),
)
def test_work_is_spread(agents, ready, before):
    """Everybody gets a task that is open, and as many tasks as possible are begun; whoever alone had one keeps it."""
    given = shares(agents, ready, before)

    assert set(agents) == set(given)
    assert set(given.values()) <= set(ready)
    assert min(len(agents), len(ready)) == len(set(given.values()))
    for agent in agents:
        alone = [other for other in agents if before.get(other) == before.get(agent)] == [agent]
        assert not alone or before.get(agent) not in ready or given[agent] == before[agent]


def test_only_tasks_that_can_begin_are_shared_out():
    """Neither those that are done nor those that wait for others; an agent by itself chooses freely."""
    tasks = [RalphTask("a", "A"), RalphTask("b", "B", after=["a"]), RalphTask("c", "C"), RalphTask("d", "D")]
    checklist = Checklist(tasks)
    checklist.done["d"] = "ada"
    checklist.share_out(["ada", "bob"])

    assert {"ada": "a", "bob": "c"} == checklist.pointed_at
    checklist.share_out(["ada"])
    assert {} == checklist.pointed_at


def test_who_completed_the_last_task():
    """Nobody at first, then the latest one."""
    checklist = Checklist([RalphTask("a", "A"), RalphTask("b", "B")])
    assert checklist.last_by is None
    checklist.done["b"] = "ada"
    checklist.done["a"] = "bob"

    assert ("bob", True) == (checklist.last_by, checklist.complete)


@pytest.mark.parametrize(
    ("said", "feedback"),
    [
        (True, None),
        (False, "The check did not accept the evidence."),
        ("", "The check did not accept the evidence."),
        (" \n", "The check did not accept the evidence."),
        (" No canvas.\n", "No canvas."),
        ("True", "True"),
        (None, "The check gave None where it should give True, False or a text."),
        (1, "The check gave 1 where it should give True, False or a text."),
        ({"ok": True}, "The check gave {'ok': True} where it should give True, False or a text."),
    ],
)
def test_what_a_judgement_means(said, feedback):
    """True accepts, and nothing else does."""
    assert feedback == rejection(said)
