"""One shape for all plugins, and everything that is repeated is repeated correctly."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement

import blueprint
import sync

PLUGINS = blueprint.plugins()
WITHOUT_A_KIND = {
    "all": "it offers nothing itself",
    "cli": "it offers several commands; 'cli' is the word for their kind",
    "provider-http": "it offers nothing itself; providers stand on it",
    "tool-wrappers": "it offers several wrappers, each by its own name",
}
"""Folders that are not called after a kind and a name, and why."""

OFFERS = [(plugin, kind, name) for plugin in PLUGINS for kind, name in plugin.offers]


def by_folder(value):
    return value.folder if isinstance(value, blueprint.Plugin) else value


def test_what_is_repeated_is_in_step():
    """Nobody edits by hand what `nox -s sync` writes, and nobody forgets to run it."""
    stale = [
        str(path.relative_to(blueprint.ROOT))
        for path, text in sync.wanted().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]

    assert [] == stale, "run: nox -s sync"


def test_every_folder_is_a_plugin():
    """A folder under plugins/ has a pyproject file, or it is not there."""
    folders = {path.name for path in blueprint.ROOT.glob("plugins/*") if path.is_dir() and any(path.iterdir())}

    assert folders == {plugin.folder for plugin in PLUGINS}


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_a_plugin_has_the_shape_of_all_plugins(plugin):
    """Name, version, Python, licence and API range follow from the folder and the root; it has a face and tests."""
    root, project = blueprint.project_of(blueprint.ROOT), plugin.project
    shared = ("version", "requires-python", "license", "license-files", "readme")

    assert plugin.distribution == project["name"]
    assert {key: root[key] for key in shared} == {key: project.get(key) for key in shared}
    assert set(project) <= {"name", "description", "dependencies", "scripts", "entry-points", *shared}
    assert project["description"].endswith(".")
    assert (sync.core_range() if plugin.folder != "all" else f"cloudllm-core=={root['version']}") in project[
        "dependencies"
    ]
    assert [] == [name for name in ("README.md", "LICENSE", "tests") if not (plugin.path / name).exists()]
    assert [] == [name for name in ("__init__.py", "py.typed") if not (plugin.source / name).exists()]
    assert [plugin.package] == [path.name for path in (plugin.path / "src").iterdir()]


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_a_folder_is_called_after_what_it_offers(plugin):
    """The folder is the word for the kind and the name that users type."""
    names = {f"{blueprint.WORDS.get(kind, kind)}-{name}" for kind, name in plugin.offers}

    assert plugin.folder in names | set(WITHOUT_A_KIND)


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_needs_are_declared_in_known_words(plugin):
    """A declared need is one of the words that users can decide by, and points at the package."""
    assert dict.fromkeys(set(plugin.needs) & blueprint.NEEDS, plugin.package) == plugin.needs


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_scripts_can_be_run(plugin):
    """A script points at something that can be called."""
    for value in plugin.project.get("scripts", {}).values():
        module, _, name = value.partition(":")

        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(("plugin", "kind", "name"), OFFERS, ids=by_folder)
def test_an_offer_is_what_its_metadata_says(plugin, kind, name):
    """An entry point names a module that answers the hook of its kind with a class of its name."""
    module = importlib.import_module(plugin.offers[kind, name])

    assert name == getattr(module, f"cloudllm_register_{kind}")().name
    assert module.__name__.partition(".")[0] == plugin.package


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_what_is_installed_is_what_is_here(plugin):
    """The installed metadata tells version, API range and offers; else this environment is stale."""
    installed = importlib.metadata.distribution(plugin.distribution)
    offers = {(point.group.removeprefix("cloudllm."), point.name) for point in installed.entry_points}

    assert plugin.project["version"] == installed.version
    assert set(plugin.offers) == {offer for offer in offers if offer[0] not in ("needs", "console_scripts")}


def test_constraints_cover_every_dependency():
    """What the root and the plugins ask for is pinned in constraints.txt; else run: nox -s pins."""
    root = tomllib.loads((blueprint.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [need for group in root["dependency-groups"].values() for need in group if isinstance(need, str)]
    needs = [*groups, *(need for plugin in PLUGINS for need in plugin.project["dependencies"])]
    pinned = {line.partition("==")[0] for line in (blueprint.ROOT / "constraints.txt").read_text("utf-8").splitlines()}

    asked = {Requirement(need).name for need in needs}
    assert set() == {name for name in asked if not name.startswith("cloudllm")} - pinned


def tracked():
    """The files that git tracks or would track; every file outside hidden folders where there is no git."""
    found = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=blueprint.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode == 0:
        return [blueprint.ROOT / name for name in found.stdout.split("\0") if name]
    paths = (path for path in blueprint.ROOT.rglob("*") if path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(blueprint.ROOT).parts)]


def test_no_file_names_the_host_of_a_registry():
    """Where packages come from is the reader's choice; and a lock file would record the hosts of whoever wrote it."""
    org = ".org"
    hosts = ["pypi" + org, "pythonhosted" + org, "npmjs" + org, "npmjs" + ".com", "deb.debian" + org]
    named = [
        f"{path.relative_to(blueprint.ROOT)}: {host}"
        for path in tracked()
        if path.exists()
        for host in hosts
        if host.encode() in path.read_bytes()
    ]

    assert [] == named
    assert [] == [path.name for path in tracked() if path.name in ("uv.lock", "pylock.toml")]
    assert "://" not in (blueprint.ROOT / "constraints.txt").read_text(encoding="utf-8")
