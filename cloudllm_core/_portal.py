"""One background event loop for synchronous callers, so that they work in scripts, notebooks and running loops."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .errors import SetupError

T = TypeVar("T")


class Portal:
    """An event loop in a daemon thread. Kept, because providers keep one connection per loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloudllm-portal", daemon=True)
        self._thread.start()

    def call(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Run *main* there and wait for it; Ctrl-C cancels it, waits until it is closed, and is raised.

        Raises:
            SetupError: this thread is the loop's own, so waiting would be for ever.
        """
        if threading.current_thread() is self._thread:
            raise SetupError("This code runs inside a run already, where waiting would block it. Use await instead.")
        future = asyncio.run_coroutine_threadsafe(main(), self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            closed = threading.Event()
            future.cancel()
            self._loop.call_soon_threadsafe(self._settled, closed)
            closed.wait()
            raise

    def _settled(self, closed: threading.Event) -> None:
        """Report once what was cancelled has ended."""
        waiting = [task for task in asyncio.all_tasks(self._loop) if task.cancelling()]
        if waiting:
            self._loop.create_task(self._wait(waiting, closed))
        else:
            closed.set()

    async def _wait(self, tasks: list[asyncio.Task[Any]], closed: threading.Event) -> None:
        await asyncio.wait(tasks)
        closed.set()


@functools.cache
def portal() -> Portal:
    """The process's portal, made when first asked for."""
    return Portal()
