"""
A process that takes with it all it starts, because it holds their namespace.

When the first process of a process namespace dies, the kernel kills all others, and only when they are
gone is that process itself gone. So it is what is killed, and what is waited for.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import time
from contextlib import suppress

import attrs

from .errors import SandboxError
from .process import GRACE, Process
from .streams import CHUNK, readable


@attrs.define(eq=False)
class Namespaced(Process):
    """Bubblewrap: it tells the process that holds the namespace, which is asked to begin, and waited for."""

    said: int = attrs.field(kw_only=True)
    """Where bubblewrap says the id of that process, and the command that it is ready."""

    go: int = attrs.field(kw_only=True)
    """Where the command is told to begin. If we die before that, it does not."""

    taken: tuple[int, ...] = attrs.field(kw_only=True)
    """What the process took over, to be closed here."""

    _heard: bytes = b""
    _first: int | None = None
    """A descriptor of the namespace's first process."""

    def _start(self) -> None:
        os.set_blocking(self.said, False)
        try:
            Process._start(self)
        finally:
            for fd in self.taken:
                os.close(fd)
            self.taken = ()

    async def _ready(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.order.timeout + GRACE):
                while b"ready" not in self._heard:
                    await readable(self.said)
                    if not self._hear():
                        break
        if self._first is None or b"ready" not in self._heard:
            for stream in self.streams:
                while stream.read():
                    pass
            problem = self.streams[1].tail.text.strip() or "bubblewrap ended without a word"
            raise SandboxError(f"the sandbox could not be set up ({problem})", "See whether bwrap can be run by hand.")
        with suppress(BrokenPipeError):
            os.write(self.go, b"go\n")

    def _hear(self) -> bool:
        """Take what bubblewrap says; whether there may be more."""
        try:
            data = os.read(self.said, CHUNK)
        except BlockingIOError:
            return True
        self._heard += data
        if self._first is None and (found := re.search(rb'"child-pid": *(\d+)\D', self._heard)):
            with suppress(ProcessLookupError):
                self._first = os.pidfd_open(int(found[1]))
        return bool(data)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        # Bubblewrap killed before it says who the first process is would leave that one waiting for it, for ever.
        until = time.monotonic() + GRACE
        while self._first is None and (left := until - time.monotonic()) > 0:
            if not select.select([self.said], [], [], left)[0] or not self._hear():
                break
        if self._first is None:
            process.kill()
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)

    async def _dead(self) -> None:
        if self._first is not None:
            await readable(self._first)
        await self._ended()

    async def _end(self) -> None:
        try:
            await Process._end(self)
        finally:
            for fd in (self.said, self.go, self._first, *self.taken):
                if fd is not None:
                    os.close(fd)
