"""Asking whoever sits at the terminal whether a call of a tool may be made."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from cloudllm_core import Run

Way: TypeAlias = Literal["ask", "all", "none"]

YES = ("y", "yes")
SHOWN = 4_000
"""Characters of a call's arguments that are shown."""


@attrs.define(eq=False)
class AtTerminal:
    """Asks one question at a time; whatever is not yes is no, and may be a reason for the model to read."""

    run: Run | None = None
    """The run that asks, whose sinks may be behind."""

    read: Callable[[], str] = attrs.field(factory=lambda: sys.stdin.readline)
    _lock: asyncio.Lock = attrs.Factory(asyncio.Lock)

    async def __call__(self, agent: str, tool: str, arguments: Mapping[str, Any], why: str) -> bool | str:
        async with self._lock:
            if self.run is not None:
                await self.run.caught_up()
            print(question(agent, tool, arguments, why), end="", file=sys.stderr, flush=True)
            line = await self._line()
            if not line.endswith("\n"):
                print(file=sys.stderr)
        if not line:
            return "standard input has ended, so nobody could answer"
        answer = line.strip()
        if answer.lower() in YES:
            return True
        return "the user said no" if answer.lower() in ("", "n", "no") else answer

    async def _line(self) -> str:
        """A line, read by a thread that nobody waits for when the run is stopped meanwhile."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()

        def tell(line: str) -> None:
            if not future.done():
                future.set_result(line)

        def read() -> None:
            try:
                line = self.read()
            except (OSError, ValueError):
                line = ""  # closed: nobody is there
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, line)

        threading.Thread(target=read, daemon=True, name="cloudllm-approval").start()
        return await future


def question(agent: str, tool: str, arguments: Mapping[str, Any], why: str) -> str:
    """The question as the terminal shows it; control characters in it are written out, not obeyed."""
    shown = json.dumps(dict(arguments))
    more = f" ... and {len(shown) - SHOWN} more characters" if len(shown) > SHOWN else ""
    lines = [f"{json.dumps(agent)[1:-1]} wants to use {tool}: {why}.", f"  {shown[:SHOWN]}{more}"]
    return "\n".join(["", *lines, "Allow it? [y/N, or a reason] "])


def approver(way: Way | None) -> Callable[..., Any]:
    """Who is asked: None is whoever is at the terminal, if it is one."""
    if way is None:
        way = "ask" if sys.stdin.isatty() and sys.stderr.isatty() else "none"
    return AtTerminal() if way == "ask" else _all if way == "all" else _nobody


def _all(agent: str, tool: str, arguments: Mapping[str, Any], why: str) -> bool:
    return True


def _nobody(agent: str, tool: str, arguments: Mapping[str, Any], why: str) -> str:
    return f"{why}, and nobody is there to allow it (cloudllm run --approve ask, or all)"
