"""The kernel's floors: who may import whom. The table below is the plan of the house."""

from __future__ import annotations

import pytest

import blueprint

FLOORS = [
    ["errors _messages _threads _secrets"],
    ["_events _signals _settings _history _portal _installed", "_prices _images", "_limits"],
    ["storing _strategies _records _thoughts", "_stores", "_contracts _outlets events"],
    ["_hookspecs _catalogue _schema _strands", "_journal _broadcast"],
    ["_tool _session _tape _registry _output", "_effects _toolbox _policy"],
    ["_run _branches", "_calls", "_modelcall", "_compaction", "_turn", "_solo"],
    ["_identity", "_agent"],
    ["_shelf", "_hub"],
    ["_performance", "_orchestration"],
]
"""
Each floor is a list of landings: a module imports from floors below its own, and from landings before its own.

The package itself, the roof, re-exports from all of them, and nobody looks at the roof; `testing` stands on top
of everything, as a user does.
"""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(module, what it imports from above) and the reason; only for imports that exist for type checkers."""

HEIGHT = {
    name: (floor, landing)
    for floor, landings in enumerate(FLOORS)
    for landing, names in enumerate(landings)
    for name in names.split()
}
PREFIX = "cloudllm_core."
MODULES = {
    path.relative_to(blueprint.KERNEL).with_suffix("").as_posix().replace("/", "."): path
    for path in blueprint.sources(blueprint.KERNEL)
}
ROOMS = sorted(name for name in MODULES if name != "__init__" and not name.startswith("testing"))


def test_every_room_has_a_floor():
    """A module that is new, renamed or gone shows in the plan."""
    assert ROOMS == sorted(HEIGHT)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_look_down_only(room):
    """A kernel module imports only from below, whether at the top, inside a function or for type checkers."""
    seen = {name.removeprefix(PREFIX) for name in blueprint.imports(MODULES[room]) if name.startswith("cloudllm_core")}

    up = sorted(name for name in seen if HEIGHT.get(name, (99, 0)) >= HEIGHT[room] and (room, name) not in EXCEPTIONS)
    assert [] == up, f"{room} is on floor {HEIGHT[room]} and may not import these"


def test_testing_uses_itself_only_downwards():
    """No two modules of `testing` import each other, not even round a corner."""
    below = {
        name: {seen.removeprefix(PREFIX) for seen in blueprint.imports(path)} & set(MODULES) - {name}
        for name, path in MODULES.items()
        if name.startswith("testing")
    }

    while settled := [name for name, names in below.items() if not names & set(below)]:
        for name in settled:
            del below[name]

    assert {} == below


def test_exceptions_are_still_needed():
    """An exception that nobody uses any more is taken off the list."""
    stale = [(room, name) for room, name in EXCEPTIONS if PREFIX + name not in blueprint.imports(MODULES[room])]

    assert [] == stale
