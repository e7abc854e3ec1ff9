"""Small rooms: a ceiling on the length of every module and on the kernel as a whole."""

from __future__ import annotations

import ast
import io
import tokenize

import pytest

import blueprint

ROOM = 400
KERNEL = 6_400
"""
Lines of code: without docstrings, comments and blank lines, for those are what makes the rest short to read.

The plan of the house says 4,000 and means it for the finished kernel; docs/explanation/design.md says what stands
in the way and where it should shrink.
"""


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def code_lines(path):
    """Lines that hold code."""
    source = path.read_text(encoding="utf-8")
    spans = [
        range(node.lineno, node.end_lineno + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    prose = {number for span in spans for number in span}
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    held = [range(token.start[0], token.end[0] + 1) for token in tokens if token.type not in silent]
    return len({number for span in held for number in span} - prose)


SHIPPED = [
    *blueprint.sources(blueprint.KERNEL),
    # `cloudllm` itself is written by `nox -s sync`: a list of names, in which nobody lives.
    *(
        path
        for plugin in blueprint.plugins()
        if plugin.folder != "all"
        for path in blueprint.sources(plugin.path / "src")
    ),
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(blueprint.ROOT)))
def test_no_room_is_too_large(path):
    """A module that needs more lines than a reader can hold has two subjects."""
    assert lines(path) <= ROOM


def test_the_kernel_stays_slim():
    """The kernel, without its testing kit, can be read in an afternoon."""
    kernel = [path for path in blueprint.sources(blueprint.KERNEL) if "testing" not in path.parts]

    assert sum(map(code_lines, kernel)) < KERNEL
