"""One thread that makes a thing, does all the work on it, and closes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeAlias, TypeVar


class Closable(Protocol):
    def close(self) -> object: ...


C = TypeVar("C", bound=Closable)
Job: TypeAlias = tuple["Future[Any]", Callable[[C], Any] | None]
"""What to do; None is to end."""


class Workshop(Generic[C]):
    """
    Does jobs one after another. Its thread is a daemon: a store nobody closed does not keep a process alive.

    The thing lives in the thread's own variables: a process forked from this one cannot reach it, not even to close it.
    """

    def __init__(self, name: str, make: Callable[[], C]) -> None:
        self._jobs: SimpleQueue[Job[C]] = SimpleQueue()
        threading.Thread(target=_work, args=(self._jobs, make), name=name, daemon=True).start()

    def do(self, job: Callable[[C], Any] | None) -> Future[Any]:
        """Have *job* done; if the future is cancelled before its turn, it is skipped."""
        future: Future[Any] = Future()
        self._jobs.put((future, job))
        return future

    def stop(self) -> Future[Any]:
        """Close the thing when all jobs are done, and end."""
        return self.do(None)


def _work(jobs: SimpleQueue[Job[C]], make: Callable[[], C]) -> None:
    thing = make()
    going = True
    while going:
        future, job = jobs.get()
        going = job is not None
        _settle(future, thing.close if job is None else partial(job, thing))
        del future, job  # what they hold on to shall not live until the next job
    thing.close()


def _settle(future: Future[Any], function: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function())
        except BaseException as problem:  # noqa: BLE001 -- it is raised where the job came from
            future.set_exception(problem)
