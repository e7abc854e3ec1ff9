"""The watch over a stream, on a clock that does not wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.errors import ProviderTimeout
from cloudllm_provider_http import Deadlines, Origin, in_time

CONTENT = b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'
PINGS = [
    b": PROCESSING\n\n",
    b": ping\r\n\r\n",
    b"\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b'event: keepalive\ndata: {"type":"keepalive","sequence_number":7}\n\n',
    b'data: {"type":"ping"}\r\n\r\n',
]


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes when everybody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.hour = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def leap(timeout: float | None = None) -> Any:
            self.hour += timeout or 0.0
            return select(0)

        self._selector.select = leap  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.hour


FIRST, IDLE, TOTAL = 20.5, 10.5, 60.25  # never two at once
PIECES = [*PINGS, CONTENT, PINGS[0] + CONTENT, b"\r\n" + CONTENT + PINGS[1]]
EVENTS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(PIECES)), max_size=12)


def expected(events: list[tuple[int, bytes]]) -> str:
    """The deadline that passes first while *events* come, each after so many seconds, and then nothing."""
    now, heard = 0.0, None
    for wait, piece in [*events, (1000, b"")]:
        due = FIRST if heard is None else heard + IDLE
        if now + wait > min(due, TOTAL):
            return "timeout" if due > TOTAL else "first_token_timeout" if heard is None else "idle_timeout"
        now += wait
        if CONTENT in piece:
            heard = now
    raise AssertionError("the last wait is longer than any deadline")


@given(EVENTS, st.integers(1, 80))
def test_the_right_deadline_passes(events: list[tuple[int, bytes]], size: int) -> None:
    """Whatever comes when, pings and all, and split anyhow: exactly the deadline passes that should."""

    async def main() -> str:
        limits = Deadlines(first_token=FIRST, idle=IDLE, total=TOTAL)
        try:
            async with in_time(limits, Origin()) as watch:
                watch.start()
                for wait, piece in events:
                    await asyncio.sleep(wait)
                    for at in range(0, len(piece), size):
                        watch.note(piece[at : at + size])
                await asyncio.Event().wait()
        except ProviderTimeout as problem:
            return problem.hint.removeprefix("Raise ").removesuffix(" to wait longer.")
        raise AssertionError("it waits for ever")

    with asyncio.Runner(loop_factory=Clock) as runner:
        assert expected(events) == runner.run(main())


def test_a_stream_that_goes_on_is_left_alone() -> None:
    """A block that ends in time ends quietly, whether its watch was started or not, and leaves no timer."""

    async def main(start: bool) -> None:
        limits = Deadlines(first_token=FIRST, idle=IDLE, total=TOTAL)
        async with in_time(limits, Origin()) as watch:
            if start:
                watch.start()
            for _ in range(10):
                await asyncio.sleep(5)
                watch.note(CONTENT)
        await asyncio.sleep(1000)

    for start in (False, True):
        with asyncio.Runner(loop_factory=Clock) as runner:
            runner.run(main(start))


def test_a_deadline_that_passes_while_the_call_ends_says_nothing() -> None:
    """Once the whole call is too late, the deadlines of its stream do not matter, however long it takes to end."""
    troubles: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, trouble: troubles.append(trouble))
        async with in_time(Deadlines(first_token=2, idle=2, total=1), Origin()) as watch:
            watch.start()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(1000)

    with (
        asyncio.Runner(loop_factory=Clock) as runner,
        pytest.raises(ProviderTimeout, match="no whole answer came within 1 seconds"),
    ):
        runner.run(main())
    assert [] == troubles
