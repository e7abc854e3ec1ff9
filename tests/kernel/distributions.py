"""Distributions as an installer leaves them on disk: modules, and metadata beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

RALPH = """
from cloudllm_core import Mode, Outcome, hookimpl

class Ralph(Mode):
    name = "ralph"
    async def run(self, hub, prompt):
        return Outcome(complete=True)

@hookimpl
def cloudllm_register_mode():
    return Ralph
"""


@attrs.frozen
class Place:
    """A folder that things can be installed into."""

    folder: Path

    @property
    def path(self) -> list[str]:
        """The folder as a search path for a registry."""
        return [str(self.folder)]

    def install(
        self,
        name: str,
        entry_points: str,
        *,
        modules: Mapping[str, str] | None = None,
        version: str = "0.1.0",
        requires: Iterable[str] = ("cloudllm-core>=0.1,<0.2",),
    ) -> None:
        """Put a distribution there: its *modules* by name, and its metadata with *entry_points* as text."""
        for module, source in (modules or {}).items():
            (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text(entry_points)

    def mode(self, name: str, module: str, source: str, *, distribution: str = "", **more: object) -> None:
        """A distribution with one mode: *source* in *module*."""
        entry_points = f"[cloudllm.mode]\n{name} = {module}\n"
        self.install(distribution or f"cloudllm-mode-{name}", entry_points, modules={module: source}, **more)  # type: ignore[arg-type]
