"""
Writes what must be repeated: run by ``nox -s sync``, compared by ``tests/house/test_packaging.py``.

The root's ``pyproject.toml`` says version, Python and licence once, each plugin's says what it offers; from
these follow the shared lines of every plugin, the kernel's catalogue, and all of ``plugins/all``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from blueprint import KERNEL, ROOT, Plugin, exports_of, plugins, project_of

BY = "Written by `nox -s sync`; do not edit."
PAGE = ROOT / "docs" / "reference" / "plugins.md"


def wanted() -> dict[Path, str]:
    """Each file that this script has a say in, and the text it should have."""
    files: dict[Path, str] = {}
    for plugin in plugins():
        files[plugin.path / "pyproject.toml"] = _pyproject(plugin)
        files[plugin.path / "LICENSE"] = (ROOT / "LICENSE").read_text(encoding="utf-8")
    files[KERNEL / "_catalogue.py"] = _catalogue()
    files[KERNEL / "_installed.py"] = _version_told(KERNEL / "_installed.py")
    files[PAGE] = _page()
    for plugin in plugins():
        if plugin.folder == "all":
            files[plugin.source / "__init__.py"] = _facade()
    return files


def core_range() -> str:
    """The versions of the kernel that a plugin of this version works with: the API range."""
    major, minor = project_of(ROOT)["version"].split(".")[:2]
    return f"cloudllm-core>={major}.{minor},<{major}.{int(minor) + 1}"


# -- the plugins' pyproject files ---------------------------------------------


def _pyproject(plugin: Plugin) -> str:
    root = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = (plugin.path / "pyproject.toml").read_text(encoding="utf-8")
    for key in ("requires", "build-backend", "version", "requires-python", "license", "license-files"):
        line = _line(key).search(root)
        if line is None:
            raise SystemExit(f"The root's pyproject.toml has no line for {key!r}.")
        text = _line(key).sub(line[0], text, count=1)
    if plugin.folder == "all":
        return _all_of_them(text)
    return re.sub(r'"cloudllm-core\b[^"]*"', f'"{core_range()}"', text, count=1)


def _line(key: str) -> re.Pattern[str]:
    return re.compile(rf"^{key} = .*$", re.MULTILINE)


def _all_of_them(text: str) -> str:
    version = project_of(ROOT)["version"]
    names = ["cloudllm-core", *(plugin.distribution for plugin in plugins() if plugin.folder != "all")]
    pins = "".join(f'    "{name}=={version}",\n' for name in names)
    text = re.sub(r"^dependencies = \[[^\]]*\]", f"dependencies = [\n{pins}]", text, count=1, flags=re.MULTILINE)
    # uv wants to be told that these come from this workspace and not from an index.
    sources = "".join(f"{name} = {{ workspace = true }}\n" for name in names)
    return text.split("\n[tool.uv.sources]")[0] + f"\n[tool.uv.sources]\n{sources}"


def _version_told(path: Path) -> str:
    """The module at *path*, which says the kernel's version for where no metadata is installed."""
    line = f'VERSION: Final = "{project_of(ROOT)["version"]}"'
    return re.sub(r"^VERSION\b.*$", line, path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)


# -- generated pages and modules ----------------------------------------------


def _page() -> str:
    rows = ""
    for plugin in plugins():
        offers = ", ".join(f"`{name}` ({kind.replace('_', ' ')})" for kind, name in plugin.offers) or (
            "everything" if plugin.folder == "all" else "nothing itself"
        )
        needs = ", ".join(plugin.needs) or "nothing"
        link = f"[{plugin.distribution}](../../plugins/{plugin.folder}/README.md)"
        rows += f"| {link} | {offers} | {needs} | {plugin.project['description']} |\n"
    return f"""# Plugins

<!-- {BY} -->

The plugins of this project, from their own metadata. `cloudllm plugins list` tells which are installed here, those of
others included. *Reaches for* is what a plugin declares in the entry-point group `cloudllm.needs`.

| distribution | offers | reaches for | what it is |
|---|---|---|---|
{rows}"""


def _catalogue() -> str:
    offers = {offer: plugin.distribution for plugin in plugins() for offer in plugin.offers}
    rows = "".join(
        f'    ("{kind}", "{name}"): "{distribution}",\n' for (kind, name), distribution in sorted(offers.items())
    )
    return f'''"""Which distribution of ours brings which name. {BY}"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CATALOGUE: Final[Mapping[tuple[str, str], str]] = {{
{rows}}}
"""By kind and name; so that an error about a missing plugin can say what to install."""
'''


def homes() -> dict[str, list[str]]:
    """
    Each package whose names `cloudllm` re-exports, and those names.

    What offers nothing but commands is used from a shell, and has nothing to import.
    """
    found = {"cloudllm_core": exports_of(KERNEL / "__init__.py")}
    for plugin in plugins():
        if any(kind != "command" for kind, _ in plugin.offers):
            found[plugin.package] = plugin.exports
    seen: dict[str, str] = {}
    for package, names in found.items():
        for name in names:
            if name in seen:
                raise SystemExit(
                    f"{package} and {seen[name]} both export {name!r}. Rename one, or leave it out of __all__."
                )
            seen[name] = package
    return {package: sorted(names, key=isort_key) for package, names in sorted(found.items()) if names}


def isort_key(name: str) -> tuple[int, str]:
    """The order that ruff keeps: CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _rows(cells: Iterable[str], indent: int) -> str:
    return "".join(f"{' ' * indent}{cell},\n" for cell in cells)


def _facade() -> str:
    found = homes()
    imports = "".join(f"    from {package} import (\n{_rows(names, 8)}    )\n" for package, names in found.items())
    table = "".join(f'    "{package}": [\n{_rows(map(_quoted, names), 8)}    ],\n' for package, names in found.items())
    every = sorted((name for names in found.values() for name in names), key=isort_key)
    return f'''"""
CloudLLM: teams of LLM agents that work together.

Every public name of the kernel and its plugins, each imported when it is first used. Begin with
``help(cloudllm.Agent)`` and ``help(cloudllm.Orchestration)``; ``cloudllm plugins list`` in a terminal tells what is
installed. ({BY})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
{imports}
__all__ = [
{_rows(map(_quoted, every), 4)}]

_HOMES = {{
{table}}}

if not TYPE_CHECKING:  # else a type checker would believe in names that do not exist

    def __getattr__(name):
        """Import the package that *name* lives in, and keep what it says."""
        import importlib
        import sys

        home = next((home for home, names in _HOMES.items() if name in names), None)
        if home is None:
            problem = f"module {{__name__!r}} has no attribute {{name!r}}"
            raise AttributeError(problem, name=name, obj=sys.modules[__name__])
        value = globals()[name] = getattr(importlib.import_module(home), name)
        return value

    def __dir__():
        """Every name there is, imported or not."""
        return sorted({{*globals(), *__all__}})
'''


def main() -> int:
    """Write the files that differ and name them; with ``--check``, only name them."""
    stale = {path: text for path, text in wanted().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)} is {'stale' if '--check' in sys.argv else 'written'}")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
