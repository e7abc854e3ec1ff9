"""Re-enacts a recorded run in a process of its own: ``python -c "...; main()"``, told by JSON on standard input."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import operator
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from .._agent import Agent
from .._contracts import Mode
from .._journal import load_records
from .._orchestration import Orchestration
from .._registry import Registry
from ._script import ScriptedProvider


def main() -> None:
    """Read a request, re-enact what it tells, and print the result as JSON."""
    request = json.load(sys.stdin)
    cls: type[Mode] = operator.attrgetter(request["class"])(_module(request["module"], request["file"]))
    result = asyncio.run(_again(cls.from_settings(request["settings"]), request))
    json.dump(result, sys.stdout)


async def _again(mode: Mode, request: Mapping[str, Any]) -> dict[str, Any]:
    registry, calls = Registry.of(), request["max_tool_calls"]
    agents = [Agent(name, ScriptedProvider(), max_tool_calls=calls, registry=registry) for name in request["agents"]]
    records = load_records(tuple(line.encode() for line in request["lines"]), "journal")
    return (await Orchestration(agents, mode, registry=registry).replay(records)).to_json()


def _module(name: str, file: str) -> ModuleType:
    """The module *name*; from its *file* where it has no importable name, as a test file may not."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location("under_test", file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["under_test"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
