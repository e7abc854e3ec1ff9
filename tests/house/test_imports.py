"""Who imports what: third-party libraries, plugins across each other, and what an import costs."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

import blueprint

PLACES = {
    "pluggy": {"_hookspecs", "_registry"},
    "structlog": {"_broadcast", "_effects", "_run"},
    "pytest": {"testing.conformance"},
}
"""Where in the kernel a library may be imported; attrs may be anywhere."""

CROSSINGS: dict[tuple[str, str], str] = {
    ("all", "*"): "it re-exports every plugin, under TYPE_CHECKING and when a name is first used",
    ("mode-agent-teams", "cloudllm_store_memory"): "the store of a pool, unless another one is given",
    ("tool-memory", "cloudllm_store_memory"): "where the tools keep things, unless another store is given",
    ("provider-openai", "cloudllm_provider_http"): "how HTTP is spoken",
    ("provider-anthropic", "cloudllm_provider_http"): "how HTTP is spoken",
    ("provider-gemini", "cloudllm_provider_http"): "how HTTP is spoken",
    ("provider-openrouter", "cloudllm_provider_http"): "headers of its own at the door",
    ("image-openai", "cloudllm_provider_http"): "an answer read to its end",
    ("provider-compatible", "cloudllm_provider_openai"): "the same wire, spoken by others",
    ("provider-grok", "cloudllm_provider_openai"): "the same wire, spoken by xAI",
    ("provider-openrouter", "cloudllm_provider_openai"): "the same wire, spoken by OpenRouter",
    ("image-openai", "cloudllm_provider_openai"): "the same address, key and connection",
    ("image-grok", "cloudllm_image_openai"): "the same wire, spoken by xAI",
    ("image-grok", "cloudllm_provider_grok"): "xAI's address and keys",
    ("image-gemini", "cloudllm_provider_gemini"): "the same call, asked for a picture",
}
"""(folder, package of another plugin that it may import) and the reason; '*' is any."""

REACHES = {
    "subprocess": "processes",
    "multiprocessing": "processes",
    "socket": "network",
    "ssl": "network",
    "http": "network",
    "urllib": "network",
    "openai": "network",
    "anthropic": "network",
    "google": "network",
    "httpx2": "network",
    "httpcore2": "network",
    "h11": "network",
}
"""Libraries that reach out of the process, and the need that a plugin which imports them declares."""

TOUCHES = {"open", "read_bytes", "read_text", "write_bytes", "write_text"}
"""Calls that read or write files."""

DISTRIBUTIONS = {"google": "google-genai", "genai_prices": "genai-prices"}
"""What brings a package whose name is another; pytest is brought by whoever tests with a plugin's `conformance`."""

HEAVY = [
    "anthropic", "cattrs", "cryptography", "difflib", "google.genai", "http", "httpcore2", "httpx", "httpx2",
    "importlib.metadata", "openai", "pydantic", "pytest", "sqlite3", "ssl", "urllib.request",
]  # fmt: skip
"""What must not be loaded by an import of the kernel or of a plugin: slow, or somebody else's choice."""

PLUGINS = blueprint.plugins()
KERNEL = {
    path.relative_to(blueprint.KERNEL).with_suffix("").as_posix().replace("/", "."): path
    for path in blueprint.sources(blueprint.KERNEL)
}


def by_folder(plugin):
    return plugin.folder


def roots(path):
    """The top-level packages that the file at *path* imports."""
    return {name.partition(".")[0] for name in blueprint.imports(path)} - set(sys.stdlib_module_names)


@functools.cache
def fresh(code):
    """What *code* prints, as JSON, in a new interpreter."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("room", sorted(KERNEL))
def test_the_kernel_needs_three_libraries(room):
    """The kernel imports attrs, pluggy and structlog, the latter two where the plan says, and nothing else."""
    allowed = {"attrs", "cloudllm_core"} | {library for library, rooms in PLACES.items() if in_one_of(room, rooms)}

    assert set() == roots(KERNEL[room]) - allowed


def in_one_of(room, rooms):
    return any(room == place or room.startswith(f"{place}.") for place in rooms)


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_plugins_do_not_import_each_other(plugin):
    """Plugins meet in the user's hands; a plugin imports the kernel, by its public names."""
    may = {"cloudllm_core", plugin.package} | {package for folder, package in CROSSINGS if folder == plugin.folder}
    seen = {name for path in blueprint.sources(plugin.source) for name in blueprint.imports(path)}
    ours = {name for name in seen if name.partition(".")[0].startswith("cloudllm")}

    across = {name for name in ours if name.partition(".")[0] not in may and "*" not in may}
    private = {name for name in ours if name.startswith("cloudllm_core._")}
    assert (set(), set()) == (across, private)


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_plugins_declare_what_they_import(plugin):
    """Every third-party import is declared as a dependency, and every declared dependency is imported."""
    used = {
        DISTRIBUTIONS.get(name, name)
        for path in blueprint.sources(plugin.source)
        for name in roots(path) - ({"pytest"} if path.stem == "conformance" else set())
        if not name.startswith("cloudllm")
    }
    declared = {name for name in requirements(plugin.project) if not name.startswith("cloudllm")}
    # What the kernel's contracts are made of comes with the kernel.
    kernel = requirements(blueprint.project_of(blueprint.ROOT))

    assert (set(), set()) == (used - declared - kernel, declared - used)


def requirements(project):
    """The names of what *project* depends on."""
    return {Requirement(need).name for need in project["dependencies"]}


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_plugins_declare_what_they_reach_for(plugin):
    """A plugin that opens sockets, starts processes or touches files says so in its metadata."""
    reached = set()
    for path in blueprint.sources(plugin.source):
        reached |= {
            REACHES[name.partition(".")[0]] for name in blueprint.imports(path) if name.partition(".")[0] in REACHES
        }
        calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        if TOUCHES & {getattr(call, "attr", getattr(call, "id", None)) for call in calls}:
            reached.add("files")

    assert set() == reached - set(plugin.needs)


def loaded(*packages):
    """What is loaded once *packages* are imported in a new interpreter."""
    return set(fresh(f"import json, sys, {', '.join(packages)}; print(json.dumps(sorted(sys.modules)))"))


def test_importing_the_kernel_is_cheap():
    """`import cloudllm_core` loads no plugin, no SDK, and nothing that is only needed when things go wrong."""
    # What the kernel's three libraries and asyncio load in any case is not the kernel's doing.
    added = loaded("cloudllm_core") - loaded("asyncio", "attrs", "pluggy", "structlog")

    assert set() == added & ({plugin.package for plugin in PLUGINS} | set(HEAVY))


def extended(plugin):
    """The packages of *plugin* and of those it may import, and of those these may import ..."""
    found = [plugin]
    for one in found:
        found += [other for other in PLUGINS if (one.folder, other.package) in CROSSINGS and other not in found]
    return {one.package for one in found}


@pytest.mark.parametrize("plugin", PLUGINS, ids=by_folder)
def test_importing_a_plugin_is_cheap(plugin):
    """A plugin's package loads the kernel, itself and what it extends; all else waits until it is used."""
    others = {each.package for each in PLUGINS} - extended(plugin)
    added = loaded(plugin.package) - loaded("asyncio", "attrs", "pluggy", "structlog")

    assert set() == added & (others | set(HEAVY))


IMPORT = """
import importlib, json
failed = {{}}
for name in {names!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""


def test_every_module_can_be_imported():
    """No module fails or warns when it is imported, though nothing else has been set up."""
    kernel = [f"cloudllm_core.{name}" for name in KERNEL]
    plugins = [dotted(path, plugin.path / "src") for plugin in PLUGINS for path in blueprint.sources(plugin.source)]
    names = [name.removesuffix(".__init__") for name in kernel + plugins if not name.endswith("__main__")]

    assert {} == fresh(IMPORT.format(names=names))


STAIRS = """
import importlib, json, sys, types
failed = {{}}
for name in {names!r}:
    for loaded in [module for module in sys.modules if module.partition(".")[0] == "cloudllm_core"]:
        del sys.modules[loaded]
    roofless = sys.modules["cloudllm_core"] = types.ModuleType("cloudllm_core")
    roofless.__path__ = [{folder!r}]
    try:
        importlib.import_module("cloudllm_core." + name)
    except Exception as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""


def test_every_room_stands_on_the_floors_below_alone():
    """Each kernel module can be imported first, without the package's own imports having run before."""
    names = [name for name in KERNEL if name != "__init__" and not name.startswith("testing")]

    assert {} == fresh(STAIRS.format(names=names, folder=str(blueprint.KERNEL)))


def dotted(path, top):
    return ".".join(path.relative_to(top).with_suffix("").parts)
