"""``cloudllm plugins list``: what is installed, and what is wrong with it, by metadata alone."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import ClassVar

import attrs

from cloudllm_core import Command, hookimpl

HEADS = ("KIND", "NAME", "DISTRIBUTION", "NEEDS", "BUILT FOR CORE", "STATUS")


class Plugins(Command):
    """Lists the plugins; imports none of them."""

    name: ClassVar[str] = "plugins"
    help: ClassVar[str] = "list the plugins that are installed, and what is wrong with them"

    def configure(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["list"], nargs="?", default="list", help="list them (nothing is imported)")
        parser.add_argument("--json", action="store_true", help="as JSON")

    def run(self, arguments: Namespace) -> int:
        plugins = arguments.registry.plugins()
        if arguments.json:
            print(json.dumps([attrs.asdict(plugin) for plugin in plugins], indent=2, ensure_ascii=False))
            return 0
        rows = [
            (p.kind, p.name, f"{p.distribution} {p.version}".rstrip(), ", ".join(p.needs), p.api, p.status)
            for p in plugins
        ]
        print(table(HEADS, rows))
        for problem in dict.fromkeys(plugin.problem for plugin in plugins if plugin.problem):
            print(f"\n{problem}")
        return 0


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """*rows* in columns as wide as they need."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


@hookimpl
def cloudllm_register_command() -> type[Plugins]:
    return Plugins
