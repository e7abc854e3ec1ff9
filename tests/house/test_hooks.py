"""Every hook is documented, and every hook has a customer."""

from __future__ import annotations

import inspect

import pytest

import blueprint
from cloudllm_core import _hookspecs

HOOKS = {name: spec for name, spec in vars(_hookspecs).items() if name.startswith("cloudllm_")}
PAGE = blueprint.ROOT / "docs" / "reference" / "hooks.md"


def test_every_kind_has_a_hook():
    """A kind is a hook, and a hook is a kind."""
    assert {f"cloudllm_register_{kind}" for kind in _hookspecs.KINDS} == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_section_headed_by_its_signature(name):
    """The page on hooks shows each hook as an author must write it, and says something about it."""
    signature = str(inspect.signature(HOOKS[name])).replace("'", "")
    heading = f"## `{name}{signature}`"
    lines = PAGE.read_text(encoding="utf-8").splitlines()

    assert heading in lines, f"docs/reference/hooks.md has no line: {heading}"
    body = lines[lines.index(heading) + 1 :]
    assert "" != next((line for line in body if line), "#").lstrip("# "), "the section is empty"


@pytest.mark.parametrize("name", HOOKS)
def test_some_plugin_here_answers_every_hook(name):
    """A hook that nobody needs is a hook that nobody has tried."""
    kinds = {kind for plugin in blueprint.plugins() for kind, _ in plugin.offers}

    assert name.removeprefix("cloudllm_register_") in kinds
