"""Which ids a reply names: by a marker on a line of its own, outside code, and by nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_mode_ralph import ids_in

IDS = st.text(st.characters(codec="utf-8", exclude_characters="]\r\n", exclude_categories=["C", "Z"]), min_size=1)
NO_MARKER = st.text().filter(lambda text: "TASK_COMPLETE" not in text)


@pytest.mark.parametrize(
    "text",
    [
        "[TASK_COMPLETE:a]",
        "It works.\n[TASK_COMPLETE:a]\n",
        "   [TASK_COMPLETE: a ]   ",
        "\r\n[TASK_COMPLETE:a]\r\nBye.",
        "```\ncode\n```\n[TASK_COMPLETE:a]",
        "~~~\n```\n~~~\n[TASK_COMPLETE:a]",
        "```x``` is inline code\n[TASK_COMPLETE:a]",
        "[TASK_COMPLETE:a]\n[TASK_COMPLETE:a]",
    ],
)
def test_a_marker_on_a_line_of_its_own_counts(text):
    """Spaces around it do not matter, nor do blocks of code that ended before; saying it twice is saying it."""
    assert ["a"] == ids_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "I am not done.",
        "Done! All tasks are complete and finished.",
        "I will say [TASK_COMPLETE:a] when I am done.",
        "Not yet: [TASK_COMPLETE:a]",
        "[TASK_COMPLETE:a] is what I cannot say yet",
        "`[TASK_COMPLETE:a]`",
        "> [TASK_COMPLETE:a]",
        '"[TASK_COMPLETE:a]"',
        "- [TASK_COMPLETE:a]",
        "    [TASK_COMPLETE:a]",
        "\t[TASK_COMPLETE:a]",
        "[task_complete:a]",
        "[TASK_COMPLETE:a",
        "TASK_COMPLETE:a",
        "[TASK_COMPLETE\n:a]",
        "```\n[TASK_COMPLETE:a]\n```",
        "```python\n[TASK_COMPLETE:a]",
        "~~~\n[TASK_COMPLETE:a]\n~~~",
        "````\n```\n[TASK_COMPLETE:a]\n```\n````",
        "```\n```python\n[TASK_COMPLETE:a]\n```",
        "```\n~~~\n[TASK_COMPLETE:a]\n```",
        "  ```\n[TASK_COMPLETE:a]\n  ```",
    ],
)
def test_anything_else_does_not(text):
    """Prose, markers inside sentences, quotes, lists, inline code and blocks of code complete nothing."""
    assert [] == ids_in(text)


def test_several_markers_count_in_order():
    """Ids come in the order in which they are named, each once."""
    assert ["b", "a"] == ids_in("[TASK_COMPLETE:b]\n[TASK_COMPLETE:a]\nand again\n[TASK_COMPLETE:b]")


@given(IDS)
def test_any_id_can_be_named(id):
    """Whatever a task is called, its marker names it."""
    assert [id] == ids_in(f"Done:\n[TASK_COMPLETE:{id}]")


@given(NO_MARKER)
def test_text_without_a_marker_names_nothing(text):
    """No prose, however odd, completes a task."""
    assert [] == ids_in(text)


@given(st.lists(IDS, unique=True), NO_MARKER.filter(lambda text: "`" not in text and "~" not in text))
def test_markers_count_whatever_stands_around_them(ids, text):
    """Without code in it, text around markers hides none of them."""
    assert ids == ids_in("".join(f"{text}\n[TASK_COMPLETE:{id}]\n" for id in ids))


def test_long_lines_take_no_time():
    """A line of a million spaces that looks like a marker is read through once."""
    assert [] == ids_in("[TASK_COMPLETE:" + " " * 1_000_000)
    assert [""] == ids_in("[TASK_COMPLETE:" + " " * 1_000_000 + "]")
