"""Small rooms: a ceiling on the length of every module and on the kernel as a whole."""

from __future__ import annotations

import pytest

import blueprint

ROOM = 400
KERNEL = 4_000


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


SHIPPED = [
    *blueprint.sources(blueprint.KERNEL),
    *(path for plugin in blueprint.plugins() for path in blueprint.sources(plugin.path / "src")),
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(blueprint.ROOT)))
def test_no_room_is_too_large(path):
    """A module that needs more lines than a reader can hold has two subjects."""
    assert lines(path) <= ROOM


def test_the_kernel_stays_slim():
    """The kernel, without its testing kit, can be read in an afternoon."""
    kernel = [path for path in blueprint.sources(blueprint.KERNEL) if "testing" not in path.parts]

    assert sum(map(lines, kernel)) < KERNEL
