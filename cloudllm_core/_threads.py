"""Synchronous functions off the event loop, in threads that never keep a program from ending."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(fn: Callable[..., T], *args: Any) -> T:
    """
    Call *fn* in a daemon thread of its own, with this task's context variables.

    Cancelling abandons the thread: nothing can stop it, and its late result is dropped.
    Not the loop's executor: that waits for its threads when the program ends.

    Raises:
        RuntimeError: *fn* raised what must not cross threads: StopIteration, SystemExit, a cancellation.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, problem: Exception | None) -> None:
        if future.done():
            return
        if problem is not None:
            future.set_exception(problem)
            future.exception()  # counts as seen, for a task that is cancelled before it looks
        else:
            future.set_result(result)  # type: ignore[arg-type]  # T may be None itself

    def work() -> None:
        result, problem = None, None
        try:
            result = context.run(fn, *args)
        except BaseException as raised:  # noqa: BLE001  # the caller gets it
            problem = _carried(raised)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=work, name=f"cloudllm {getattr(fn, '__name__', 'tool')}", daemon=True).start()
    return await future


def _carried(raised: BaseException) -> Exception:
    if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
        return raised
    carried = RuntimeError(f"it raised {raised!r}, which ends a thread and not a call")
    carried.__cause__ = raised
    return carried
