"""
``cloudllm demo``: a scripted team builds a small browser game, with real tools and real files.

``team.toml`` and ``script.toml`` beside this module are copied into a folder of the user's and run there, just as
``cloudllm run`` would do it.
"""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from importlib import resources
from pathlib import Path
from typing import ClassVar

from cloudllm_core import Command, hookimpl
from cloudllm_core.errors import SetupError

from ..performing import status_of, summary
from ..run import run_team, tell_problem
from ..teams import read_team

GAME = "star-catcher"
SHIPPED = ("team.toml", "script.toml")

BEFORE = """\
Four agents build a small browser game from a list of ten tasks.
The model side is scripted: what the agents say, and which tools they ask for, is read from a file.
No network, no key; the tokens are counted by length. All else is real: the kernel, the mode (RALPH),
the tools, and the files on disk.
"""

AFTER = """
Play it:   open {page} in a browser.
The same team with a real model: in {team}
replace each `model`, say by "openai:gpt-5-mini" with the key in OPENAI_API_KEY,
or by {{ name = "openai:qwen3", base_url = "http://localhost:11434/v1" }}; then
           cloudllm run {team}"""


class Demo(Command):
    """Shows a team at work."""

    name: ClassVar[str] = "demo"
    help: ClassVar[str] = "watch four scripted agents build a small browser game"

    def configure(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dir", metavar="DIR", help="where the files go; a new temporary folder otherwise")
        parser.add_argument("--journal", metavar="FILE", help="keep the run's records in a new file")

    def run(self, arguments: Namespace) -> int:
        folder = _prepared(arguments.dir)
        print(BEFORE, flush=True)
        team = read_team(str(folder / "team.toml"))
        result = run_team(team, team.prompt or "", arguments.registry, sinks=[], journal=arguments.journal)
        print(summary(result))
        tell_problem(result, arguments.debug)
        _list(folder / GAME)
        if result.complete:
            print(AFTER.format(page=folder / GAME / "index.html", team=folder / "team.toml"))
        if arguments.journal:
            print(
                f"Re-enact it from its journal:\n           cloudllm replay {arguments.journal} {folder / 'team.toml'}"
            )
        return status_of(result)


def _prepared(wanted: str | None) -> Path:
    """
    The folder with the team's files in it.

    Raises:
        SetupError: it cannot be made, or something of that name is there and would be lost.
    """
    folder = Path(tempfile.mkdtemp(prefix="cloudllm-demo-") if wanted is None else wanted).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*SHIPPED, GAME):
            if (folder / name).exists():
                raise SetupError(f"{folder / name} is there already and would be overwritten. Choose another folder.")
        for name in SHIPPED:
            text = resources.files(__package__).joinpath(name).read_text("utf-8")
            (folder / name).write_text(text, "utf-8")
    except OSError as problem:
        raise SetupError(f"The demo cannot write to {folder}: {problem.strerror}. Choose another folder.") from problem
    return folder


def _list(folder: Path) -> None:
    """Print which files there are in *folder*, and their sizes in bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    print(f"\n{len(files)} files in {folder}:")
    for path in files:
        print(f"{path.stat().st_size:8,}  {path.relative_to(folder)}")


@hookimpl
def cloudllm_register_command() -> type[Demo]:
    return Demo
