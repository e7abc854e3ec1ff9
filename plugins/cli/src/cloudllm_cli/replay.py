"""``cloudllm replay FILE TEAM.toml``: re-enact a journal with nothing but the team file."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import ClassVar

import attrs

from cloudllm_core import Command, Orchestration, PastEnds, Record, hookimpl, load_records
from cloudllm_core.errors import DivergenceError, SetupError

from .teams import read_team

EPILOG = """\
No provider, tool or clock is touched: what they gave is in the journal. The prompt is the one
given, else the file's, else the journal's.

exit status: 0 identical, 1 the team does something else now, 2 the journal or the file is wrong"""


class Replay(Command):
    """Re-enacts a journal."""

    name: ClassVar[str] = "replay"
    help: ClassVar[str] = "re-enact a run from its journal, and compare every record"

    def configure(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        parser.add_argument("journal", metavar="FILE", help="the journal, as `cloudllm run --journal FILE` wrote it")
        parser.add_argument("team", metavar="TEAM.toml", help="the team file")
        parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="the prompt, if the run was given one")

    def run(self, arguments: Namespace) -> int:
        registry = arguments.registry
        journal = registry.journal("jsonl").read(arguments.journal)
        records = load_records(journal.lines, journal.source)
        team = read_team(arguments.team).without_sinks()  # nobody watches, and sinks may open files
        if journal.torn:
            print(f"{arguments.journal}: {journal.torn}")
        if not records:
            raise SetupError(f"{arguments.journal} holds no whole record, so there is nothing to replay.")
        prompt = team.prompt_of(arguments.prompt)
        try:
            with contextlib.chdir(team.folder):
                orchestration = team.build(registry)
                asyncio.run(_replayed(orchestration, records, prompt))
        except DivergenceError as error:
            print(f"cloudllm: {told(error)}", file=sys.stderr)
            return 1
        except PastEnds:
            print(f"{len(records)} records re-enacted, identical. The journal ends there, before its run did.")
            return 0
        print(f"{len(records)} records re-enacted, identical.")
        return 0


async def _replayed(orchestration: Orchestration, records: Sequence[Record], prompt: str | None) -> None:
    recorded = records[0].body.get("prompt")
    if prompt is not None and prompt != recorded:
        raise DivergenceError(1, "run", 0, repr(recorded), repr(prompt), "prompt")
    await orchestration.replay(records)


def told(error: DivergenceError, width: int = 160) -> str:
    """*error* with no more of what was recorded, and of what is now, than the part where they part."""
    was, now = str(error.recorded), str(error.now)
    same = next((nth for nth, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    return str(attrs.evolve(error, recorded=_around(was, same, width), now=_around(now, same, width)))


def _around(text: str, place: int, width: int) -> str:
    begin = max(0, place - width // 2) if len(text) > width else 0
    end = begin + width
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"


@hookimpl
def cloudllm_register_command() -> type[Replay]:
    return Replay
