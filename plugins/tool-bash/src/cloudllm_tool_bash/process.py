"""
One process and all it starts, from its first breath to the last one's death.

`Process.run` returns or raises only when everything is dead: after success, a timeout, a flood of output
or a cancellation alike. Inside a process namespace the kernel sees to it: when its first process dies,
so do all others, and only then is that process itself gone. So that is what is waited for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import attrs

from .errors import SandboxError
from .limits import outgrown
from .streams import Stream, readable
from .tails import Tail

T = TypeVar("T")

TIMED_OUT, KILLED = 124, 137
"""Exit codes of commands that were stopped, as ``timeout`` and shells give them."""

GRACE = 10.0
"""Seconds that the start and the end of a process may take, beyond its own time."""


@attrs.frozen(kw_only=True)
class Result:
    """What came of a command."""

    exit_code: int
    """The shell's: 124 if it was stopped for its time, 137 if it was killed for another reason."""

    duration_ms: int
    stdout: str
    """The end of it, as clean text; see `tails`."""

    stderr: str
    notice: str = ""
    """Why the command was stopped, if it was."""

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in attrs.asdict(self).items() if key != "notice" or value}


@attrs.frozen(kw_only=True)
class Order:
    """What to run, and how long."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""

    folder: str
    timeout: float
    max_output: int
    """Bytes of each stream; more, and the command is stopped."""

    tail: int
    """Bytes of each stream that are kept."""

    passed: tuple[int, ...] = ()
    """Descriptors that the process takes over."""

    watched_memory: int | None = None


async def insist(work: Coroutine[Any, Any, T]) -> T:
    """Await *work* to its end; a cancellation waits until then."""
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as wish:
            cancelled = wish
    if cancelled is not None:
        raise cancelled
    return task.result()


@attrs.define(eq=False)
class Process:
    """A process in a session of its own; `Namespaced` is one that takes all it starts with it."""

    order: Order
    _process: subprocess.Popen[bytes] | None = None
    _handle: int | None = None
    """A descriptor of the process, readable when it has ended; where the system has such."""

    _flooded: asyncio.Event = attrs.Factory(asyncio.Event)
    streams: tuple[Stream, ...] = ()

    async def run(self) -> Result:
        """
        Run it to the end, whichever comes first: its own, its time, its output.

        Raises:
            SandboxError: it did not start, or did not die.
        """
        tails = [Tail(self.order.tail) for _ in range(2)]
        self.streams = tuple(Stream(tail, self.order.max_output, self._flooded) for tail in tails)
        try:
            self._start()
            await self._ready()
            begun = time.perf_counter()
            notice, code = await self._watch()
            took = time.perf_counter() - begun
        finally:
            await insist(self._end())
        code = code if notice or self._process is None else self._process.returncode
        return Result(
            exit_code=code if code >= 0 else 128 - code,
            duration_ms=round(took * 1000),
            stdout=tails[0].text,
            stderr=tails[1].text,
            notice=notice,
        )

    def _start(self) -> None:
        # Not asyncio's own way: a cancellation in the midst of that leaves half a sandbox behind.
        ends = list[int]()
        try:
            ends += (stream.open() for stream in self.streams)
            self._process = subprocess.Popen(  # noqa: S603  # to run commands is what this is for
                self.order.argv,
                stdin=subprocess.DEVNULL,
                stdout=ends[0],
                stderr=ends[1],
                cwd=self.order.folder,
                env=dict(self.order.environment),
                pass_fds=self.order.passed,
                start_new_session=True,
            )
        except OSError as problem:
            what = f"{self.order.argv[0]} could not be started ({problem.strerror})"
            raise SandboxError(
                what, "See whether it can be run by hand; a very long command belongs in a file."
            ) from None
        finally:
            for end in ends:
                os.close(end)
        if sys.platform == "linux":
            self._handle = os.pidfd_open(self._process.pid)

    async def _ready(self) -> None:
        """Return when the command itself is about to run."""

    async def _watch(self) -> tuple[str, int]:
        """Wait for the first reason to end: a notice and an exit code, or "" when it ended by itself."""
        order, process = self.order, self._process
        assert process is not None
        ended = asyncio.ensure_future(self._ended())
        flooded = asyncio.ensure_future(self._flooded.wait())
        reasons: list[asyncio.Future[Any]] = [ended, flooded]
        if order.watched_memory is not None:
            reasons.append(asyncio.ensure_future(outgrown(process.pid, order.watched_memory)))
        try:
            done, _ = await asyncio.wait(reasons, timeout=order.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reason in reasons:
                reason.cancel()
            await insist(_settled(reasons))
        if flooded in done:
            return f"Stopped: it wrote more than {order.max_output:,} bytes.", KILLED
        if ended in done:
            return "", 0
        if done:
            return f"Stopped: it held more than {order.watched_memory:,} bytes of memory.", KILLED
        return f"Stopped: it was not done after {order.timeout:g} seconds.", TIMED_OUT

    async def _ended(self) -> None:
        assert self._process is not None
        if self._handle is not None:
            await readable(self._handle)
        while self._process.poll() is None:  # noqa: ASYNC110  # where no descriptor tells
            await asyncio.sleep(0.02)

    async def _end(self) -> None:
        """Have everything dead, reaped and closed."""
        try:
            if self._process is not None:
                await self._kill(self._process)
                await _within(self._dead(), self._process.pid)
        finally:
            for stream in self.streams:
                stream.close()
            if self._handle is not None:
                os.close(self._handle)

    async def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    async def _dead(self) -> None:
        await self._ended()


async def _settled(futures: Sequence[asyncio.Future[Any]]) -> None:
    await asyncio.gather(*futures, return_exceptions=True)


async def _within(work: Coroutine[Any, Any, Any], pid: int) -> None:
    try:
        await asyncio.wait_for(work, GRACE)
    except TimeoutError:
        problem = f"process {pid} was killed and did not die within {GRACE:g} seconds"
        raise SandboxError(problem, "It hangs in the kernel, perhaps in a file system that is gone.") from None
