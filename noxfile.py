"""
What can be run here: ``nox -l`` lists it, ``nox -s NAME`` runs it, ``nox -s NAME -- MORE`` passes more on.

Nothing here names a plugin; a new folder under ``plugins/`` needs no edit.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "types", "architecture"]

# The Python at hand will do; uv must not fetch another.
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PLUGINS = {path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))}


def group(name: str) -> list[str]:
    """The requirements of a dependency group of the root's ``pyproject.toml``."""
    return list(nox.project.dependency_groups(PROJECT, name))


def install(session: nox.Session, *groups: str) -> None:
    """Install the kernel and every plugin, editable, and what *groups* ask for, as ``constraints.txt`` pins it."""
    ours = [part for folder in (ROOT, *PLUGINS.values()) for part in ("-e", str(folder))]
    session.install("-c", "constraints.txt", *ours, *(need for name in groups for need in group(name)))


def folders(paths: Iterable[Path]) -> list[str]:
    """Those of *paths* that are there, as arguments."""
    return [str(path.relative_to(ROOT)) for path in paths if path.is_dir()]


@nox.session
def demo(session: nox.Session) -> None:
    """Show a team of four scripted agents at work: no key, no network, real files."""
    install(session)
    session.run("python", "-m", "cloudllm_cli", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Test the kernel, every plugin, all of them together, and the code in the documentation."""
    install(session, "tests")
    # In one process for each core; by file, for what a file sets up is shared by its tests.
    spread = ["-n", "auto", "--dist", "loadfile"]
    whole = ["-q", *spread, "--ignore=tests/house", *folders([ROOT / "tests", ROOT / "plugins"])]
    session.run("pytest", *(session.posargs or whole))


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes and untidiness with ruff; ``nox -s lint -- --fix`` mends what can be mended."""
    session.install("-c", "constraints.txt", *group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the kernel, every plugin and a user's code, all under ``mypy --strict``."""
    install(session, "tests", "types")
    sources = folders([ROOT / "cloudllm_core", ROOT / "tools", *(path / "src" for path in PLUGINS.values())])
    session.run("mypy", "--strict", *sources, "tests/typing/api.py", *session.posargs)


@nox.session
def architecture(session: nox.Session) -> None:
    """Test how the house is built: floors, sizes of rooms, who imports whom, packaging, hooks and their pages."""
    install(session, "tests")
    session.run("pytest", "-q", "tests/house", *session.posargs)


@nox.session
@nox.parametrize("plugin", list(PLUGINS), ids=list(PLUGINS))
def alone(session: nox.Session, plugin: str) -> None:
    """Test one plugin in an environment of its own, from wheels: with the kernel and what it declares, no more."""
    dist = Path(session.create_tmp()).resolve()
    for old in dist.glob("*.whl"):
        old.unlink()
    # Wheels, built anew: an editable install would find files that were never packaged.
    uv = session.venv_backend == "uv"
    build = ["uv", "build", "-q", "--wheel", "--out-dir"] if uv else ["pip", "wheel", "-q", "--no-deps", "-w"]
    for folder in (ROOT, *(PLUGINS[name] for name in closure(plugin))):
        session.run(*build, str(dist), str(folder), external=uv, silent=True)
    session.install("-c", "constraints.txt", *map(str, dist.glob("*.whl")), *group("tests"))
    # Not `python -m pytest`, which would put this folder, and with it the kernel's source, on the path.
    session.run("pytest", "-q", f"plugins/{plugin}/tests", *session.posargs)


def closure(plugin: str) -> list[str]:
    """The folder *plugin* and those of the plugins it depends on, which no index could bring."""
    owners = {"cloudllm" if name == "all" else f"cloudllm-{name}": name for name in PLUGINS}
    found = [plugin]
    for name in found:
        project = tomllib.loads((PLUGINS[name] / "pyproject.toml").read_text("utf-8"))["project"]
        wanted = [owners.get(Requirement(need).name) for need in project["dependencies"]]
        found += [owner for owner in wanted if owner and owner not in found]
    return found


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the tests against the oldest versions of the dependencies that we say we work with (needs uv)."""
    ours = [part for folder in (ROOT, *PLUGINS.values()) for part in ("-e", str(folder))]
    session.install("--resolution=lowest-direct", *ours, *group("tests"))
    session.run("pytest", "-q", "--ignore=tests/house", *folders([ROOT / "tests", ROOT / "plugins"]), *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Search for broken invariants at random, for long: everything marked ``soak``."""
    install(session, "tests")
    session.run("pytest", "-m", "soak", *folders([ROOT / "tests", ROOT / "plugins"]), *session.posargs)


@nox.session
def live(session: nox.Session) -> None:
    """Make a handful of real calls, for a cent or so: ``nox -s live -- PROVIDER``, with its key in the environment."""
    if not session.posargs:
        session.error("Say which provider: nox -s live -- anthropic")
    provider, *more = session.posargs
    install(session, "tests")
    session.run("pytest", "-q", "-rs", "tests/live", *more, env={"CLOUDLLM_LIVE": provider})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what the kernel costs, as ratios, with peers or floors beside it in the same run."""
    install(session, "tests")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(venv_backend="none")
def sync(session: nox.Session) -> None:
    """Write what must be repeated: shared lines of the plugins' pyproject files, catalogue, `cloudllm`'s exports."""
    session.run(sys.executable, "tools/sync.py", *session.posargs)


@nox.session
def pins(session: nox.Session) -> None:
    """Take the newest versions of all dependencies into ``constraints.txt`` (needs uv)."""
    whole = ["--all-packages", "--all-groups", "--all-extras", "--no-emit-workspace"]
    plain = ["--no-hashes", "--no-annotate", "--no-header", "--quiet"]
    session.run("uv", "export", "--upgrade", *whole, *plain, "--output-file", "constraints.txt", external=True)
