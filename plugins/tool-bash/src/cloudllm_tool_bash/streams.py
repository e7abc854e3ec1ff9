"""Descriptors, read as they become ready."""

from __future__ import annotations

import asyncio
import os

import attrs

from .tails import Tail

CHUNK = 65_536


@attrs.define(eq=False)
class Stream:
    """What a process says, read as it comes, so that it never waits for us."""

    tail: Tail
    most: int
    flooded: asyncio.Event
    _loop: asyncio.AbstractEventLoop = attrs.Factory(asyncio.get_running_loop)
    _fd: int = -1

    def open(self) -> int:
        """The end to write to, which the caller closes."""
        self._fd, end = os.pipe()
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self.read)
        return end

    def read(self) -> bool:
        """Take what is there; whether there was something."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return False
        self.tail.add(data)
        if not data:
            self._loop.remove_reader(self._fd)
        if self.tail.total > self.most:
            self.flooded.set()
        return bool(data)

    def close(self) -> None:
        """Take the rest, but no more than one pipe holds."""
        if self._fd >= 0:
            while not self.flooded.is_set() and self.read():
                pass
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


async def readable(fd: int) -> None:
    """Return when there is something to read at *fd*, or its end."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
