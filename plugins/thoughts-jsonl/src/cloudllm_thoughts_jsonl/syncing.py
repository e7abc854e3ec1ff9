"""Group commit: thoughts written within some time of each other are made to survive a power loss together."""

from __future__ import annotations

import os
import threading

import attrs

from . import files
from .failures import ThoughtsFileError


@attrs.define(eq=False)
class Syncing:
    """Syncs a file some time after something was written to it."""

    path: str
    seconds: float
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _fd: int | None = attrs.field(default=None, init=False)
    _timer: threading.Timer | None = attrs.field(default=None, init=False)
    _problem: OSError | None = attrs.field(default=None, init=False)

    def soon(self, fd: int) -> None:
        """Something was written to *fd*: sync it at the latest in so many seconds."""
        with self._lock:
            if self._fd is None:
                self._fd = os.dup(fd)  # of its own: the file may be closed, or have another name, by then
                self._timer = threading.Timer(self.seconds, self.now)
                self._timer.daemon = True
                self._timer.start()

    def now(self) -> None:
        """Sync what waits."""
        with self._lock:
            fd, self._fd = self._fd, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if fd is None:
            return
        try:
            files.sync(fd)
        except OSError as problem:
            self._problem = problem
        finally:
            os.close(fd)

    def check(self) -> None:
        """Raises: ThoughtsFileError, once: what was written may not survive a power loss."""
        problem, self._problem = self._problem, None
        if problem is not None:
            raise ThoughtsFileError(
                f"{self.path}: the latest thoughts are in the file, but may not be on the disk ({problem.strerror}). "
                "Check the disk, then verify the chain."
            ) from problem
