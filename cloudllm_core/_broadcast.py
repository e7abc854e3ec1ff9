"""
Delivers records and signals to sinks without ever harming a run.

One `Outlet` stands before each sink: a bounded queue and one daemon thread, shared by the runs of an
orchestration. Each run has a `Feed` into it, with counts of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, TypeAlias

import attrs
import structlog

from ._outlets import EventSink
from ._records import Record
from ._signals import Signal

LOOK = 0.01
"""Seconds between two looks at whether sinks have caught up."""

PATIENCE = 5
"""A sink that fails this often in a row is given up."""

Flushed: TypeAlias = Future[threading.Thread | None]
"""Done when a feed's last item is; gives the outlet's thread if that ended with the feed."""


@attrs.frozen
class SinkReport:
    """What became of one run's records at one sink: sent = delivered + failed + dropped."""

    name: str
    sent: int
    delivered: int
    failed: int
    dropped: int
    problem: str | None


@attrs.define(eq=False)
class Feed:
    """One run's way into an outlet: *open* while it takes more, *over* when what still waits is dropped."""

    count: Callable[[], int] = attrs.Factory(lambda: itertools.count().__next__)
    """Counts what is sent: an atomic step, for a sink may send too, from its thread."""

    delivered: int = 0
    failed: int = 0
    problem: str | None = None
    open: bool = True
    over: bool = False


@attrs.define(eq=False)
class Outlet:
    """
    A queue and a thread before one sink; the thread lives while some run feeds it.

    At most *limit* items wait; signals give way when half of it is used. *late* is true while a
    call of the sink goes on that a run waited for in vain.
    """

    sink: EventSink
    limit: int = 10_000
    given_up: str | None = None
    late: bool = False
    _failures: int = 0
    _feeds: int = 0
    _thread: threading.Thread | None = None
    _lock: threading.Lock = attrs.Factory(threading.Lock)
    _queue: SimpleQueue[tuple[Feed, Record | Signal | Flushed | threading.Event]] = attrs.Factory(SimpleQueue)

    @classmethod
    def of(cls, sinks: Iterable[EventSink]) -> tuple[Outlet, ...]:
        """One outlet for each instance, however often it is listed."""
        return tuple(cls(sink) for sink in {id(sink): sink for sink in sinks}.values())

    @property
    def wants_signals(self) -> bool:
        return type(self.sink).signal is not EventSink.signal and self.given_up is None

    def open(self) -> Feed:
        with self._lock:
            self._feeds += 1
        return Feed()

    def send(self, feed: Feed, record: Record) -> None:
        if not feed.open:
            return
        feed.count()
        if self.given_up is not None:
            return
        if self._queue.qsize() < self.limit:
            self._queue.put((feed, record))
            if self._thread is None:
                self._start()
        else:
            feed.problem = f"was too slow: {self.limit} items waited for it, which is the most that may"

    def signal(self, feed: Feed, signal: Signal) -> None:
        if feed.open and self.wants_signals and self._queue.qsize() < self.limit // 2:
            self._queue.put((feed, signal))
            if self._thread is None:
                self._start()

    def mark(self, feed: Feed) -> threading.Event:
        """Set once the sink has taken what was sent so far."""
        mark = threading.Event()
        if self._thread is None or not feed.open:
            mark.set()
        else:
            self._queue.put((feed, mark))
        return mark

    def close(self, feed: Feed) -> Flushed:
        flushed: Flushed = Future()
        with self._lock:
            feed.open = False
            if self._thread is None:
                self._feeds -= 1
                flushed.set_result(None)
            else:
                self._queue.put((feed, flushed))
        return flushed

    def _start(self) -> None:
        with self._lock, contextlib.suppress(RuntimeError):  # the system has no thread left: the next item tries again
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=f"sink {self.sink.name}", daemon=True)
                thread.start()
                self._thread = thread

    def _work(self) -> None:
        while True:
            feed, item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
            elif isinstance(item, Future):
                if self._ends_with(feed, item):
                    return
            elif not feed.over and self.given_up is None:
                self._deliver(feed, item)
            del feed, item  # or a waiting thread would keep them

    def _deliver(self, feed: Feed, item: Record | Signal) -> None:
        if isinstance(item, Signal):
            self._call(feed, self.sink.signal, item)
        elif self._call(feed, self.sink.receive, item):
            feed.delivered += 1
            self._failures = 0  # only here: a signal that went well does not excuse records that do not
        else:
            feed.failed += 1

    def _ends_with(self, feed: Feed, flushed: Flushed) -> bool:
        if self._feeds == 1:
            self._call(feed, self.sink.close)
        with self._lock:  # a run may have come meanwhile
            self._feeds -= 1
            ended, self._thread = (None, self._thread) if self._feeds else (self._thread, None)
        flushed.set_result(ended)
        return ended is not None

    def _call(self, feed: Feed, method: Callable[..., Any], *args: Any) -> bool:
        try:
            method(*args)
        except BaseException as problem:  # SystemExit, too, would end the thread
            told = traceback.format_exception_only(problem)[-1].strip()  # unlike str(), it cannot fail
            feed.problem = f"raised {told}"
            self._failures += 1
            if self._failures == PATIENCE:
                self.given_up = f"was given up after {PATIENCE} failures in a row, the last {told}"
                with contextlib.suppress(BaseException):  # a log that is set up wrongly must not end the thread
                    log = structlog.get_logger("cloudllm")
                    log.warning("event_sink.given_up", sink=self.sink.name, problem=told, exc_info=problem)
            return False
        else:
            return True
        finally:
            self.late = False


class Broadcast:
    """What one run sends to its sinks. `send` and `signal` neither wait nor raise."""

    def __init__(self, outlets: Iterable[Outlet]) -> None:
        self._feeds = [(outlet, outlet.open()) for outlet in outlets]
        self.silent = not self._feeds

    @property
    def wants_signals(self) -> bool:
        return any(outlet.wants_signals for outlet, _ in self._feeds)

    def send(self, record: Record) -> None:
        for outlet, feed in self._feeds:
            outlet.send(feed, record)

    def signal(self, signal: Signal) -> None:
        for outlet, feed in self._feeds:
            outlet.signal(feed, signal)

    async def caught_up(self, budget: float) -> None:
        """Wait up to *budget* seconds until the sinks have taken what was sent so far."""
        marks = [outlet.mark(feed) for outlet, feed in self._feeds]
        for _ in range(int(budget / LOOK)):
            if all(mark.is_set() for mark in marks):
                return
            await asyncio.sleep(LOOK)

    async def aclose(self, budget: float = 2.0) -> tuple[SinkReport, ...]:
        """Wait up to *budget* seconds for the sinks to take everything; what they have not taken then is dropped."""
        ends = time.monotonic() + budget
        feeds, self._feeds = self._feeds, []
        flushed = [outlet.close(feed) for outlet, feed in feeds]
        awaited = [future for (outlet, _), future in zip(feeds, flushed, strict=True) if not outlet.late]
        try:
            if awaited:
                await asyncio.wait([asyncio.wrap_future(future) for future in awaited], timeout=budget)
                # A virtual clock jumps over that wait, but a sink's thread lives in real time.
                wait(awaited, timeout=max(0.0, ends - time.monotonic()))
        finally:
            for _, feed in feeds:
                feed.over = True
        return tuple([_report(*pair, future) for pair, future in zip(feeds, flushed, strict=True)])


def _report(outlet: Outlet, feed: Feed, flushed: Flushed) -> SinkReport:
    if not flushed.done():
        outlet.late = True
        feed.problem = "was not done in time when the run ended; the rest was dropped"
    elif thread := flushed.result():
        thread.join(1.0)  # it is past its last line
    sent, delivered, failed = feed.count(), feed.delivered, feed.failed  # read once: a late thread may still count
    dropped = sent - delivered - failed
    problem = outlet.given_up or feed.problem or ("got no thread to work in" if dropped else None)
    return SinkReport(outlet.sink.name, sent, delivered, failed, dropped, problem)
