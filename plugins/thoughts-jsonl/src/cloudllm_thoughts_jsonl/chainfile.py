"""
One chain's file: locked, read and verified as far as it goes, and written one line at a time.

Writing: alone by lock, after what others wrote in the meantime has been read and verified; a line goes out
in one write, and what a failed write left behind is cut off again. No file is held open between two calls,
so that renaming, forking and many threads do no harm.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import attrs

from . import files
from .failures import TamperedThoughtsError, ThoughtsFileError
from .heads import Head, Tree
from .keys import PrivateKey
from .reading import Verified, told_of_tail
from .syncing import Syncing


@attrs.define(eq=False)
class ChainFile:
    """What this process knows of the chain in the file *path*, and its way to it."""

    path: str
    fsync: str | float
    lock_timeout: float
    head_file: str | None
    head_every: int
    key: PrivateKey | None
    verified: Verified = attrs.field(init=False)
    torn: str | None = attrs.field(default=None, init=False)
    """What is to be said about an unfinished last line."""

    _tree: Tree = attrs.field(factory=Tree, init=False)
    _stamp: files.Stamp | None = attrs.field(default=None, init=False)
    """Of the file, when it was last read or written; None when it is to be read anew."""

    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    _alone: bool = attrs.field(default=False, init=False)
    _unnoted: bool = attrs.field(default=False, init=False)
    """Whether thoughts were added since the last head."""

    _syncing: Syncing | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.verified = Verified(self.path)
        self._syncing = None if isinstance(self.fsync, str) else Syncing(self.path, self.fsync)

    # -- reading --------------------------------------------------------------

    def read(self) -> Verified:
        """
        All of it, as it is now.

        Raises:
            TamperedThoughtsError: it is not as it was written. ThoughtsFileError: it cannot be read.
        """
        with self._for_this_thread() as deadline:
            if not self._alone and files.stamp(self.path) != self._stamp:
                with files.opened(self.path, writing=False, deadline=deadline, timeout=self.lock_timeout) as fd:
                    self._catch_up(fd)
            return self.verified

    @contextlib.contextmanager
    def alone(self) -> Iterator[int]:
        """
        The open file, locked against all others, and all of it read.

        Raises:
            ThoughtsFileError: it cannot be opened, or another has it locked for too long.
            TamperedThoughtsError: it is not as it was written.
        """
        with (
            self._for_this_thread() as deadline,
            files.opened(self.path, writing=True, deadline=deadline, timeout=self.lock_timeout) as fd,
        ):
            assert fd is not None
            self._catch_up(fd)
            if self._syncing is not None:
                self._syncing.check()
            self._alone = True
            try:
                yield fd
            finally:
                self._alone = False

    @contextlib.contextmanager
    def _for_this_thread(self) -> Iterator[float]:
        """Until when to wait for other processes, once no other thread is here."""
        deadline = time.monotonic() + self.lock_timeout
        if not self._lock.acquire(timeout=self.lock_timeout):
            raise ThoughtsFileError(files.held(self.path, self.lock_timeout, "thread"))
        try:
            yield deadline
        finally:
            self._lock.release()

    def _catch_up(self, fd: int | None) -> None:
        """Read what is new; all of it, if this is another file or an old part was written to."""
        now, was = files.NOWHERE if fd is None else files.stamp(fd), self._stamp
        if now == was:
            return
        same = was is not None and now.file == was.file
        try:
            if fd is not None and was is not None and same and now.size > was.size:
                self.verified.catch_up(fd)
            else:
                anew = Verified(self.path)
                if fd is not None:
                    anew.catch_up(fd)
                anew.check_continues(self.verified, same)
                self._check_head(anew)
                self.verified, self._tree = anew, Tree()
        except OSError as problem:
            raise ThoughtsFileError(f"{self.path}: the file cannot be read ({problem.strerror}).") from problem
        self._stamp = now
        if self.verified.tail:
            self.torn = told_of_tail(self.path, self.verified.tail, None)

    # -- writing, when alone --------------------------------------------------

    def write(self, fd: int, data: bytes) -> None:
        """
        Add *data*, the lines that follow.

        Raises:
            ThoughtsFileError: they could not be written, and are not there.
        """
        self._clear_tail(fd)
        before = self.verified.end
        try:
            files.write_all(fd, data)
            if self.fsync == "always":
                files.sync(fd)
            if before == 0 and self.fsync != "never":
                files.sync_folder_of(self.path)
            if not os.fstat(fd).st_nlink:
                raise ThoughtsFileError(f"{self.path}: the file was deleted while a thought was written. Try again.")
        except BaseException as problem:  # an interrupt, too, must not leave half a line
            left = self._cut_back(fd, before)
            if isinstance(problem, OSError):
                raise ThoughtsFileError(
                    f"{self.path}: the thought could not be written ({problem.strerror}). All before it are whole."
                    f"{left} Make room or check the disk, then try again."
                ) from problem
            raise
        if self._syncing is not None:
            self._syncing.soon(fd)
        self.verified.take(data)
        self._stamp, self._unnoted = files.stamp(fd), True
        if self.head_file is not None and len(self.verified.thoughts) % self.head_every == 0:
            self.note_head()

    def _cut_back(self, fd: int, size: int) -> str:
        self._stamp = None  # whatever is there now is to be read
        try:
            os.ftruncate(fd, size)
        except OSError as problem:
            return f" Part of it is left at the end ({problem.strerror}); the next thought will move that away."
        return ""

    def _clear_tail(self, fd: int) -> None:
        """Move an unfinished last line to a file of its own: nothing is deleted."""
        verified = self.verified
        if not verified.tail:
            return
        try:
            aside = files.set_aside(self.path, verified.tail)
            os.ftruncate(fd, verified.end)
        except OSError as problem:
            raise ThoughtsFileError(
                f"{self.path}: the last line is not whole and could not be moved away ({problem.strerror})."
            ) from problem
        self.torn = told_of_tail(self.path, verified.tail, aside)
        verified.tail = b""

    def close(self) -> None:
        """Write the head, where heads are kept, and sync what waits for it. Raises: ThoughtsFileError."""
        if self._unnoted and self.head_file is not None:
            with self.alone():
                self.note_head()
        if self._syncing is not None:
            self._syncing.now()
            self._syncing.check()

    # -- heads ----------------------------------------------------------------

    def head(self) -> Head:
        """The head of what was read, signed if there is a key. Raises: SetupError: there is no chain yet."""
        head = Head.of(self.verified, self._tree)
        return head if self.key is None else head.signed(self.key)

    def note_head(self) -> None:
        """Write the head, when alone. Raises: ThoughtsFileError."""
        assert self.head_file is not None
        try:
            os.makedirs(os.path.dirname(self.head_file), mode=0o700, exist_ok=True)
            files.replace(self.head_file, str(self.head()).encode())
        except OSError as problem:
            raise ThoughtsFileError(
                f"{self.head_file}: the head could not be written ({problem.strerror}). "
                "The thoughts themselves are kept."
            ) from problem
        self._unnoted = False

    def _check_head(self, verified: Verified) -> None:
        """See that the chain, read anew, is the one whose head was noted. Raises: TamperedThoughtsError, SetupError."""
        if self.head_file is None or not os.path.lexists(self.head_file):
            return
        with open(self.head_file, encoding="utf-8", errors="replace") as file:
            head = Head.parse(file.read())
        if self.key is not None:
            head.check_signature(self.key.public)
        if verified.header is None and head.size:
            problem = f"the chain is gone, and its head {self.head_file} says that it held {head.size} thoughts"
            raise TamperedThoughtsError(self.path, None, problem)
        if verified.header is not None:
            head.check(verified)
