"""What the model is asked, and how references in its save are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_context_self_compression import SelfCompression, parse_refs
from cloudllm_context_self_compression.save import PROMPT, question


@pytest.mark.parametrize(
    ("save", "refs"),
    [
        ("Findings.\nREFS: 1, 2", [1, 2]),
        ("REFS:   1 ,  2  , 3  ", [1, 2, 3]),
        ("REFS: 7\nmore", [7]),
        ("No references here.", []),
        ("", []),
        ("REFS: 1, two, 3.5, , -4, 5", [1, 5]),
        ("REFS:", []),
        ("REFS: 1\nREFS: 2", [1]),
        ("  REFS: 3\r\nend", [3]),
        ("see REFS: 4", []),
        ("refs: 4", []),
        (f"REFS: {'9' * 5000}, 6", [6]),
        ("REFS: ²,٣,8", [8]),
    ],
)
def test_references_are_read(save, refs):
    """The first line that begins with REFS: counts; what is no number is skipped."""
    assert refs == parse_refs(save)


@given(st.text())
def test_any_save_can_be_read(save):
    """Whatever a model writes gives numbers from 0 on, or none."""
    assert all(ref >= 0 for ref in parse_refs(f"REFS: {save}"))


@given(st.lists(st.integers(0, 10**9)), st.text(st.characters(exclude_characters="R", exclude_categories=("C",))))
def test_references_survive_the_text_around_them(refs, text):
    """What was listed is what is read."""
    assert refs == parse_refs(f"{text}\nREFS: {', '.join(map(str, refs))}\n{text}")


@pytest.mark.parametrize(
    "part", ["Findings", "Decisions", "Task state", "Open questions", "Next steps", "Essential prior thoughts"]
)
def test_each_part_of_a_save_is_asked_for(part):
    """The six parts of the original's save."""
    assert f"\n{part}\n" in PROMPT


def test_references_are_asked_for_where_there_are_thoughts():
    """The model learns which numbers there are; without thoughts it is not asked."""
    assert "Save." == question("Save.", 0)
    assert "numbers 0 to 4." in question("Save.", 5)
    assert question("Save.", 5).startswith("Save.\n\n")
    assert "\nREFS: 0, 2" in question("Save.", 5)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 1.5}, {"threshold": -0.1}, {"target": 2}, {"keep": -1}, {"prompt": " \n"}]
)
def test_refuses_settings_that_make_no_sense(wrong):
    """The setting is named."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SelfCompression(**wrong)
