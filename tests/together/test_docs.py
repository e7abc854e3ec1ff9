"""Documentation is tested: its code runs, its links lead somewhere, and its reference pages say what the code says."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import blueprint
import cloudllm_core
from cloudllm_core import default_registry, errors, events, testing
from tests.together import pages

ROOT = blueprint.ROOT
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("plugins/*/README.md")])
CONTRACTS = (
    "Mode", "Hub", "Provider", "ToolProtocol", "ContextStrategy", "Desk", "EventSink", "Journal", "Store",
    "ThoughtChain", "PriceBook", "ImageGenerator", "Command",
)  # fmt: skip
FROM_SETTINGS = "from_settings"
"""What contracts inherit and the page explains once, above them."""


def by_path(page: Path) -> str:
    return str(page.relative_to(ROOT))


def reference(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


# -- code ---------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(pages.performed, pages.blocks(page)))], ids=by_path)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    """Each block does what the page says, in an empty folder, without a key and without a network."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(pages.__file__), str(page)],
        cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )

    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=by_path)
def test_blocks_say_what_they_are(page: Path) -> None:
    """Every block names its language, and a block that is not run has a reason."""
    for block in pages.blocks(page):
        assert block.language in ("console", "python", "text", "toml", "json"), f"line {block.line}"
        assert block.marks.keys() <= {"continues", "file", "runs", "output", "not run"}, f"line {block.line}"
        assert block.marks.get("not run", "a reason"), f"line {block.line}"


def test_what_a_page_says_wrongly_is_found(tmp_path: Path) -> None:
    """The test above can fail: at code that raises, prints something else, or ends with another status."""
    wrong = {
        "```python\n1 / 0\n```": "ZeroDivisionError",
        "```python\nprint(1)\n# prints: 2\n```": "the page says:\n2",
        "```python\nprint(1)\n```\n\n<!-- output -->\n```text\n2\n```": "the page says:\n2",
        "<!-- runs -->\n```console\n$ cloudllm nonsense\n```": "ended with 2",
        "<!-- runs: 3 -->\n```console\n$ cloudllm nonsense\n```": "ended with 2",
        '```toml\n# team.toml\nmode = "nonsense"\nagents = [{ name = "a", model = "script:a" }]\n```': "nonsense",
        "```python\nimport socket\nsocket.create_connection(('192.0.2.1', 9), 0.1)\n```": "wants to reach 192.0.2.1",
    }
    for number, (text, complaint) in enumerate(wrong.items()):
        page = tmp_path / f"{number}.md"
        page.write_text(f"# Page\n\n{text}\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(pages.__file__), str(page)],
            cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120, check=False,
        )  # fmt: skip

        assert (1, True) == (done.returncode, complaint in done.stderr), done.stderr


# -- links and names ----------------------------------------------------------


def prose(page: Path) -> str:
    """*page* without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The places in *page* that a link can lead to."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=by_path)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and every anchor a heading in it."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(target)

    assert [] == dead


@pytest.mark.parametrize("page", PAGES, ids=by_path)
def test_tests_and_files_that_are_named_are_there(page: Path) -> None:
    """Where prose names one of our files, or a test in it, it can be found."""
    lost = []
    for path, name in re.findall(r"`((?:tests|plugins|cloudllm_core|docs|tools)/[\w./-]+)(?:::(\w+))?`", prose(page)):
        file = ROOT / path
        if not file.exists() or (name and f"def {name}(" not in file.read_text(encoding="utf-8")):
            lost.append(f"{path}::{name}")

    assert [] == lost


def test_every_page_can_be_found() -> None:
    """Each page of the documentation is listed on its first one."""
    listed = re.findall(r"\]\(([\w/-]+\.md)\)", (DOCS / "index.md").read_text(encoding="utf-8"))
    there = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page.name != "index.md"]

    assert sorted(there) == sorted(listed)


# -- reference pages ----------------------------------------------------------


class Plainly:
    """An annotation, as it was written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(fn: Any) -> str:
    """The signature of *fn* as a reader wants it: annotations as written, without self, strings in double quotes."""
    whole = inspect.signature(fn)
    parameters = [
        each.replace(
            annotation=Plainly(each.annotation) if isinstance(each.annotation, str) else each.annotation,
            default=Plainly(f'"{each.default}"') if isinstance(each.default, str) else each.default,
        )
        for each in whole.parameters.values()
        if each.name not in ("self", "cls")
    ]
    return str(whole.replace(parameters=parameters, return_annotation=Plainly(whole.return_annotation)))


def title(thing: Any, name: str) -> str:
    """How a page heads its section on *thing*."""
    if isinstance(thing, type) and attrs.has(thing):
        return f"`{name}({', '.join(field.name for field in attrs.fields(thing))})`"
    if inspect.isfunction(thing):
        return f"`{'async ' if inspect.iscoroutinefunction(thing) else ''}{name}{signature(thing)}`"
    return f"`{name}`"


def members(contract: str) -> Iterator[str]:
    """The titles of what *contract* promises."""
    cls = getattr(cloudllm_core, contract)
    for name, value in vars(cls).items():
        plain = getattr(value, "__func__", value)
        if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(plain, property)):
            yield title(plain, f"{contract}.{name}")


def sections(text: str) -> dict[str, str]:
    """Heading of second or third rank to what stands below it."""
    parts = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def own(module: Any, kind: type) -> dict[str, type]:
    return {name: each for name, each in vars(module).items() if isinstance(each, type) and issubclass(each, kind)}


EVENTS = own(events, events.Event) | own(events, events.Signal)


def test_every_event_is_explained() -> None:
    """The page on events heads a section with each class and its fields, has no other, and leaves none empty."""
    found = {head: text for head, text in sections(reference("events.md")).items() if head.startswith("`")}

    assert {title(cls, name) for name, cls in EVENTS.items()} == set(found)
    assert [] == [head for head, text in found.items() if not text.strip()]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_contract_is_explained(contract: str) -> None:
    """The page on contracts heads a section with each method, as an author writes it."""
    found = sections(reference("contracts.md"))
    told = [head for head in found if re.match(rf"`(async )?{contract}\.", head)]

    assert f"`{contract}`" in found
    assert list(members(contract)) == told
    assert [] == [head for head in told if not found[head].strip()]


VALUES = [
    name.strip("`")
    for name, text in sections(reference("contracts.md")).items()
    if "| field | means |" in text
]  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_every_field_is_explained(name: str) -> None:
    """The table of a value names its fields, in order."""
    table = sections(reference("contracts.md"))[f"`{name}`"]

    fields = [field.name for field in attrs.fields(getattr(cloudllm_core, name))]
    assert fields == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_every_value_of_a_contract_is_on_its_page() -> None:
    """What crosses between kernel and plugins, whole: no table is missing."""
    assert {"Completion", "ContextView", "Cut", "GeneratedImage", "Item", "JournalText", "Message", "Outcome", "Policy",
            "Reply", "Request",
            "Thought", "ToolCall", "ToolContext", "ToolDefinition", "ToolResult", "Usage"} == set(VALUES)  # fmt: skip


def family(cls: type, depth: int = 0) -> Iterator[tuple[str, str]]:
    """*cls* and its kind below it, each with the first line of its docstring; of the kernel only."""
    yield "  " * depth + cls.__name__, (cls.__doc__ or "").strip().partition("\n")[0]
    ours = [sub for sub in cls.__subclasses__() if sub.__module__.startswith("cloudllm_core.")]
    # attrs leaves slotless twins behind, which are not what their module says
    whole = [sub for sub in ours if getattr(sys.modules[sub.__module__], sub.__name__, None) is sub]
    for sub in sorted(whole, key=place):
        yield from family(sub, depth + 1)


def place(cls: type) -> tuple[str, int]:
    return cls.__module__, list(vars(sys.modules[cls.__module__])).index(cls.__name__)


def tree() -> str:
    """The tree of errors, drawn."""
    assert issubclass(cloudllm_core.PastEnds, errors.JournalError)  # it lives elsewhere, and is loaded now
    rows = list(family(errors.CloudLLMError))
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:{width}}  {line}\n" for name, line in rows)


def test_the_tree_of_errors_is_drawn() -> None:
    """The page on errors shows the tree as it stands in the code."""
    drawn = [block.text for block in pages.blocks(DOCS / "reference" / "errors.md") if block.language == "text"]

    assert [tree()] == drawn


def test_the_testing_kit_is_explained() -> None:
    """The page on testing heads a section with each name of the kit, and names each contract class."""
    from cloudllm_core.testing import conformance

    page = reference("testing.md")
    told = [head for head in sections(page) if head.startswith("`")]

    assert sorted(title(getattr(testing, name), name) for name in testing.__all__) == sorted(told)
    assert sorted(conformance.__all__) == sorted(re.findall(r"^\| `(\w+Contract)` \|", page, re.MULTILINE))


def test_every_option_of_the_command_line_is_explained() -> None:
    """The page on the command line has a section for each command, which names all it takes, and nothing else."""
    found = sections(reference("command-line.md"))
    registry = default_registry()
    for name in registry.names("command"):
        parser = argparse.ArgumentParser(add_help=False)
        registry.command(name)().configure(parser)
        words = [action.option_strings or [str(action.metavar or action.dest)] for action in parser._actions]
        takes = {word for each in words for word in each}
        told = set(re.findall(r"^\| `([\w.-]+)[^|]*` \|", found[f"`cloudllm {name}`"], re.MULTILINE))

        assert takes == told, name


def test_every_key_of_a_team_file_is_explained() -> None:
    """The page on team files names each key of an agent and of a team that the code takes."""
    found = sections(reference("team-file.md"))
    agent = [
        name
        for name in inspect.signature(cloudllm_core.Agent).parameters
        if name not in ("registry", "limits", "output", "approver", "policy")
    ]
    limits = [field.name for field in attrs.fields(cloudllm_core.Limits)]
    told = {head: re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) for head, text in found.items()}

    assert sorted(agent) == sorted(told["`[[agents]]`"])
    assert limits == told["`limits`"]
    team = {"agents", "mode", "name", "on_failure", "prompt", "sinks", "system_context", "limits", "prices", "policy"}
    assert team == set(told["The team"])
