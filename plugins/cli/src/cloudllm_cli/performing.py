"""Performing a run in the terminal: the first Ctrl-C closes it cleanly, the second ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from cloudllm_core import Journal, Orchestration, RunResult

from .approving import AtTerminal

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells expect it."""


@attrs.define(eq=False)
class Interrupts:
    """What Ctrl-C does."""

    stop: Callable[[], None] | None = None
    """Ends cleanly what is under way, if anything is."""

    count: int = 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count > 1:
            os._exit(INTERRUPTED)  # a tool that will not end must not keep the user waiting
        if self.stop is None:
            raise KeyboardInterrupt
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\ncloudllm: Closing the run. Press Ctrl-C again to end at once.\n")
        self.stop()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within the block, Ctrl-C comes here; once it has, it does so to the end of the process."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are none of this thread's business
            return
        before = signal.signal(signal.SIGINT, self)
        try:
            yield
        finally:
            if not self.count:
                signal.signal(signal.SIGINT, before)


def perform(
    orchestration: Orchestration, prompt: str, *, journal: Journal | None = None, seed: str | None = None
) -> RunResult:
    """Run *orchestration* to its end, and close its providers."""
    interrupts = Interrupts()

    async def performed() -> RunResult:
        run = orchestration.run(prompt, journal=journal, seed=seed)
        interrupts.stop = run.cancel
        if isinstance(orchestration.approver, AtTerminal):
            orchestration.approver.run = run
        try:
            return await run
        finally:
            interrupts.stop = None
            await _close(orchestration)

    with interrupts.caught():
        return asyncio.run(performed())


async def _close(orchestration: Orchestration) -> None:
    try:
        await orchestration.aclose()
    except Exception as problem:  # noqa: BLE001 -- the run is over, and its result must not be lost for this
        print(f"cloudllm: A provider could not be closed: {problem}", file=sys.stderr)


def status_of(result: RunResult) -> int:
    """The exit status that tells how *result* ended."""
    if result.complete:
        return 0
    return INTERRUPTED if result.stop_reason == "cancelled" else 1


def summary(result: RunResult) -> str:
    """*result* in one line."""
    used = result.usage
    tokens = f"{used.total:,} tokens ({used.total - used.output:,} in, {used.output:,} out)"
    rounds = f"{result.rounds} round{'' if result.rounds == 1 else 's'}"
    cost = "" if result.cost is None else f", ${result.cost:.{'4f' if result.cost >= 0.001 else '2g'}}"
    line = f"{'Complete' if result.complete else 'Not complete'} ({result.stop_reason}): {rounds}, {tokens}{cost}."
    for sink in result.sinks:
        if missed := sink.failed + sink.dropped:
            line += f" The sink {sink.name!r} missed {missed} of {sink.sent} records: it {sink.problem}."
    return line
