"""``cloudllm run TEAM.toml [PROMPT]``: run the team that a file describes."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import ClassVar

from cloudllm_core import Command, Journal, Registry, RunResult, hookimpl
from cloudllm_core.errors import SetupError

from .approving import Way, approver
from .performing import perform, status_of, summary
from .teams import Team, read_team

EPILOG = """\
The file holds what an Orchestration takes (mode, agents, sinks, limits ...), and may hold the
prompt. Its paths are relative to its own folder, where the run works.

Some calls need a person's consent: of tools that say so, and those that could carry something
out once an agent has read text from outside the team.

exit status: 0 complete, 1 not complete, 2 something is set up wrongly, 130 Ctrl-C"""


APPROVE = "such calls: ask at the terminal (the default on one), allow all, or none"


class Run(Command):
    """Runs the team that a file describes."""

    name: ClassVar[str] = "run"
    help: ClassVar[str] = "run the team that a TOML file describes"

    def configure(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        parser.add_argument("team", metavar="TEAM.toml", help="the team file")
        parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to do; - reads it from standard input")
        parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
        parser.add_argument("--journal", metavar="FILE", help="keep the run's records in a new file")
        parser.add_argument(
            "--sink", metavar="NAME", action="append", default=[], help="another sink, besides the file's; repeatable"
        )
        parser.add_argument("--approve", metavar="WAY", choices=("ask", "all", "none"), help=APPROVE)
        parser.add_argument("--seed", metavar="TEXT", help="for what is drawn by chance")

    def run(self, arguments: Namespace) -> int:
        team = read_team(arguments.team)
        if arguments.prompt == "-" and arguments.approve == "ask":
            raise SetupError("Standard input cannot hold the prompt (-) and answers (--approve ask). Give one of them.")
        prompt = _checked(team.prompt_of(arguments.prompt), team)
        sinks = list(arguments.sink)
        if not (sinks or team.names_sinks or arguments.json):
            sinks = ["console"]
        result = run_team(
            team, prompt, arguments.registry, sinks=sinks, journal=arguments.journal, seed=arguments.seed,
            approve=arguments.approve, aside=arguments.json,
        )  # fmt: skip
        if arguments.json:
            print(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        else:
            print(summary(result))
        tell_problem(result, arguments.debug)
        if arguments.journal and not arguments.json:
            print(f"Journal: {arguments.journal}")
        return status_of(result)


def _checked(prompt: str | None, team: Team) -> str:
    if prompt is None or not prompt.strip():
        what = "There is no prompt" if prompt is None else "The prompt is empty"
        remedy = f'cloudllm run {team.name} "What to do"'
        raise SetupError(f'{what}. Give one: {remedy}. Or write it into the file: prompt = "What to do"')
    return prompt


def run_team(
    team: Team,
    prompt: str,
    registry: Registry,
    *,
    sinks: list[str],
    journal: str | None = None,
    seed: str | None = None,
    approve: Way | None = None,
    aside: bool = False,
) -> RunResult:
    """
    Build *team* and run it in its folder.

    Args:
        journal: a new file for the records.
        approve: who is asked before a call that needs consent; None is whoever is at the terminal, if it is one.
        aside: let sinks that print do so on standard error.

    Raises:
        SetupError, PluginError: something is wrong with the file. JournalError: *journal* cannot be made.
    """
    target = None if journal is None else str(Path(journal).absolute())
    with contextlib.chdir(team.folder), contextlib.redirect_stdout(sys.stderr if aside else sys.stdout):
        orchestration = team.build(registry, sinks)
        orchestration.approver = approver(approve)
        keeper: Journal | None = None if target is None else registry.journal("jsonl").create(target)
        return perform(orchestration, prompt, journal=keeper, seed=seed)


def tell_problem(result: RunResult, debug: bool) -> None:
    """Say on standard error what ended *result* early, if something did."""
    if result.error is not None:
        if debug:
            traceback.print_exception(result.error)
        print(f"cloudllm: {result.error}", file=sys.stderr)


@hookimpl
def cloudllm_register_command() -> type[Run]:
    return Run
