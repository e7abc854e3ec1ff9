"""What the project consists of, read from its files: nothing here is a list that somebody must keep."""

from __future__ import annotations

import ast
import dataclasses
import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KERNEL = ROOT / "cloudllm_core"

WORDS = {
    "tool_protocol": "tool",
    "context_strategy": "context",
    "event_sink": "sink",
    "thought_chain": "thoughts",
    "image_generator": "image",
    "price_book": "prices",
}
"""The word for a kind in names of folders and distributions, where it is not the kind itself."""

NEEDS = frozenset({"network", "files", "processes", "secrets"})
"""What a plugin may declare that it reaches for, in the entry-point group ``cloudllm.needs``."""


@dataclasses.dataclass(frozen=True)
class Plugin:
    """One folder under ``plugins/``, as its ``pyproject.toml`` tells it."""

    path: Path

    @functools.cached_property
    def project(self) -> dict[str, Any]:
        return project_of(self.path)

    @property
    def folder(self) -> str:
        return self.path.name

    @property
    def distribution(self) -> str:
        return "cloudllm" if self.folder == "all" else f"cloudllm-{self.folder}"

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def source(self) -> Path:
        return self.path / "src" / self.package

    @property
    def offers(self) -> dict[tuple[str, str], str]:
        """(kind, name) of each thing it offers, and the module that says so."""
        groups: dict[str, dict[str, str]] = self.project.get("entry-points", {})
        return {
            (group.removeprefix("cloudllm."), name): module
            for group, names in groups.items()
            if group.startswith("cloudllm.") and group != "cloudllm.needs"
            for name, module in names.items()
        }

    @property
    def needs(self) -> dict[str, str]:
        needs: dict[str, str] = self.project.get("entry-points", {}).get("cloudllm.needs", {})
        return needs

    @property
    def exports(self) -> list[str]:
        """The names users import from its package."""
        return exports_of(self.source / "__init__.py")


def project_of(folder: Path) -> dict[str, Any]:
    """The ``[project]`` table of the ``pyproject.toml`` in *folder*."""
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def plugins() -> list[Plugin]:
    """Every plugin, in order of their folders' names."""
    return [Plugin(path.parent) for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def exports_of(path: Path) -> list[str]:
    """The names in ``__all__`` of the module at *path*; none if there is no such list or module."""
    if not path.exists():
        return []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def sources(folder: Path) -> list[Path]:
    """The Python files below *folder*."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """
    Each module that the file at *path* imports, wherever the import stands, dotted and absolute.

    ``from package import name`` counts as ``package.name`` if that is a module beside it or private, else as
    ``package``.
    """
    package = _package_of(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (_deepest(path, module, alias.name) for alias in node.names)


def _package_of(path: Path) -> list[str]:
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _deepest(path: Path, module: str, name: str) -> str:
    package = _package_of(path)
    top = path.parents[len(package) - 1].parent if package else path.parent
    beside = top.joinpath(*module.split("."))
    deeper = name.startswith("_") or (beside / f"{name}.py").exists() or (beside / name / "__init__.py").exists()
    return f"{module}.{name}" if deeper else module
