"""
A process that takes with it all it starts, because it holds their namespace.

When the first process of a process namespace dies, the kernel kills all others, and only when they are
gone is that process itself gone. So it is what is killed, and what is waited for.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Mapping
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

    places: Mapping[str, tuple[int, int]] = attrs.field(kw_only=True)
    """What must be seen inside at these paths: device and number, as they were before it began."""

    _heard: bytes = b""
    _id: int = 0
    _first: int | None = None
    """The namespace's first process: its id, and a descriptor of it."""

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
        self._look()
        with suppress(BrokenPipeError):
            os.write(self.go, b"go\n")

    def _look(self) -> None:
        """
        See that what is inside is what was meant, before the command begins.

        Bubblewrap finds folders by their paths, and a command in another sandbox, around this one, may
        put a link in their place at any moment.
        """
        for path, meant in self.places.items():
            try:
                found = os.stat(f"/proc/{self._id}/root{path}", follow_symlinks=False)
            except OSError as problem:
                what = f"what it shows at {path!r} cannot be seen ({problem.strerror})"
                raise SandboxError(what, "See whether /proc can be read.") from None
            if (found.st_dev, found.st_ino) != meant:
                raise SandboxError(f"{path!r} was replaced while it was set up", "Keep others from moving it.")

    def _hear(self) -> bool:
        """Take what bubblewrap says; whether there may be more."""
        try:
            data = os.read(self.said, CHUNK)
        except BlockingIOError:
            return True
        self._heard += data
        if self._first is None and (found := re.search(rb'"child-pid": *(\d+)\D', self._heard)):
            self._id = int(found[1])
            with suppress(ProcessLookupError):
                self._first = os.pidfd_open(self._id)
        return bool(data)

    async def _kill(self, process: subprocess.Popen[bytes]) -> None:
        # Bubblewrap killed before it says who the first process is would leave that one waiting for it, for ever.
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self._first is None:
                    await readable(self.said)
                    if not self._hear():
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
