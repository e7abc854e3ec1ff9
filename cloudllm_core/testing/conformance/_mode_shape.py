"""Claims about a mode's class: its settings, and what its source keeps away from."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import attrs
import pytest

from ..._contracts import Mode
from ...errors import SettingsError
from ._mode_cast import Casting

FORBIDDEN = frozenset({"asyncio", "concurrent", "random", "secrets", "threading", "time", "uuid"})
"""A replay cannot give these back; the hub has verbs for what they are needed for."""


class ModeShape(Casting):
    """Frozen settings, and nothing but the hub."""

    def test_has_a_name_and_a_story(self, mode: Mode) -> None:
        """Its name is a plain lower-case word, and its docstring tells how agents work together."""
        assert mode.name.replace("-", "").isalnum()
        assert mode.name == mode.name.lower()
        assert (type(mode).__doc__ or "").strip()

    def test_settings_are_plain_data(self, mode: Mode) -> None:
        """`settings` is JSON, and gives a mode equal to this one when it is read back."""
        settings = json.loads(json.dumps(mode.settings()))

        assert mode.settings() == settings
        assert mode == type(mode).from_settings(settings)

    def test_is_frozen(self, mode: Mode) -> None:
        """No setting can be changed once the mode is made."""
        for setting in mode.settings():
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(mode, setting, None)

    def test_refuses_unknown_settings(self, mode: Mode) -> None:
        """A misspelt setting is refused, named, and answered with the right one."""
        settings = mode.settings()
        for setting in settings or ["anything"]:
            misspelt = setting + setting[-1]
            with pytest.raises(SettingsError) as refused:
                type(mode).from_settings({**settings, misspelt: settings.get(setting)})
            assert repr(misspelt) in str(refused.value)
            if settings:
                assert f"Did you mean '{setting}'?" in str(refused.value)

    def test_asks_only_the_hub(self, mode: Mode) -> None:
        """Its package imports no clock, no chance, no tasks: there are `hub.now`, `hub.random` and `hub.each`."""
        module = sys.modules[type(mode).__module__]

        assert [] == [
            f"{path.name}: {name}" for path in sources(module) for name in imported(path) if name in FORBIDDEN
        ]


def sources(module: ModuleType) -> list[Path]:
    """The files of *module* and of the modules beside it that it imports, directly or not."""
    found: list[Path] = []
    names = [module.__name__]
    for name in names:
        spec = importlib.util.find_spec(name) if name in sys.modules and name != module.__name__ else module.__spec__
        origin = spec.origin if spec is not None else None
        if not origin or not origin.endswith(".py"):
            continue
        path = Path(origin)
        found.append(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        names += [other for other in neighbours(path, package) if other not in names and other in sys.modules]
    return found


def neighbours(path: Path, package: str) -> Iterator[str]:
    """The modules of *package* that the file at *path* imports."""
    root = package.partition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            if root and origin.partition(".")[0] == root:
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)


def imported(path: Path) -> Iterator[str]:
    """The top-level packages that the file at *path* imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
