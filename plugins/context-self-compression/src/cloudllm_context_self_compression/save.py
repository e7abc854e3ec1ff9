"""What is asked of the model, and how its save is read."""

from __future__ import annotations

import re

PROMPT = """\
This conversation has to be shortened. All of the above will be taken away, and what you write now takes its place.
Write a save from which you could take up the work as if nothing had happened: brief, but with every name, number, path
and wording that matters. Use these headings:

Findings
Decisions
Task state
Open questions
Next steps
Essential prior thoughts

Write the save and nothing else."""
"""Asks for the parts that the original asks for."""

ASK_FOR_REFS = """\
Your thoughts so far have the numbers 0 to {last}. If the save builds on some of them, end it with a line like this:
REFS: 0, 2"""

HEADED = "=== SAVED CONTEXT (you wrote it when earlier messages were taken away) ===\n{save}\n=== END SAVED CONTEXT ==="

NUMBER = re.compile(r"[0-9]{1,18}")  # of any length would be no index, and slow to read


def question(prompt: str, thoughts: int) -> str:
    """What the model is asked: *prompt*, and for references where there are *thoughts* to refer to."""
    return f"{prompt}\n\n{ASK_FOR_REFS.format(last=thoughts - 1)}" if thoughts else prompt


def parse_refs(save: str) -> list[int]:
    """
    The numbers in the first line of *save* that begins with ``REFS:``, separated by commas.

    What is no number is skipped (the original's rule); whether there is such a thought is for others to say.
    """
    lines = (line.strip() for line in save.splitlines())
    listed = next((line.removeprefix("REFS:") for line in lines if line.startswith("REFS:")), "")
    return [int(item) for item in map(str.strip, listed.split(",")) if NUMBER.fullmatch(item)]
