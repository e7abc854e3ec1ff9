"""What may take how long: a connection, the first token, a silence, the whole call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Message, Request
from cloudllm_core.errors import ProviderTimeout
from cloudllm_provider_openai import OpenAI
from cloudllm_provider_openai.deadlines import Deadlines, in_time
from cloudllm_provider_openai.wire import Origin

ASK = Request(model="m", instructions="", messages=(Message.user("Hello."),))
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
CHUNK = {"model": "m", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
CONTENT = f"data: {json.dumps(CHUNK)}\n\n".encode()
PINGS = [b": OPENROUTER PROCESSING\n\n", b'event: keepalive\ndata: {"type":"keepalive","sequence_number":7}\n\n']


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """The address of a server on loopback that reads a request and then does as *script* says, until it is hung up."""
    busy: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        acting = asyncio.current_task()
        assert acting is not None
        busy.add(acting)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets close in the next turn of the loop


def late(script: Script, *, stream: bool = True, scheme: str = "http", **settings: Any) -> ProviderTimeout:
    """The error of a call that does not end in time."""

    async def main() -> ProviderTimeout:
        async with serving(script) as address:
            provider = OpenAI(base_url=f"{scheme}://{address}", api_key="k", **settings)
            try:
                with pytest.raises(ProviderTimeout) as caught:
                    await (provider.stream(ASK, lambda sort, piece: None) if stream else provider.complete(ASK))
                return caught.value
            finally:
                await provider.aclose()

    return asyncio.run(main())


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def pinging(first: bytes) -> Script:
    """*first*, and then only pings, for ever."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + first)
        while True:
            for ping in PINGS:
                writer.write(ping)
            await writer.drain()
            await asyncio.sleep(0.01)

    return script


@pytest.mark.parametrize("script", [hang, pinging(b"")], ids=["silence", "pings"])
def test_a_stream_must_begin_in_time(script: Script) -> None:
    """A stream that does not begin, or only pings, is given up after `first_token_timeout`, which the error names."""
    error = late(script, first_token_timeout=0.05)

    assert "no answer began within 0.05 seconds" == error.problem
    assert str(error).endswith("within 0.05 seconds. Raise first_token_timeout to wait longer.")


def test_a_stream_must_go_on() -> None:
    """A stream that has begun and then only pings is given up after `idle_timeout`, which the error names."""
    error = late(pinging(CONTENT), idle_timeout=0.05)

    assert "the answer did not go on for 0.05 seconds" == error.problem
    assert str(error).endswith("for 0.05 seconds. Raise idle_timeout to wait longer.")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_whole_call_must_end_in_time(stream: bool) -> None:
    """Whatever comes, a call is given up after `timeout`; a call that does not stream knows no other deadline."""
    more = {} if stream else {"first_token_timeout": 0.01, "idle_timeout": 0.01}
    error = late(pinging(CONTENT), stream=stream, timeout=0.1, **more)

    assert "no whole answer came within 0.1 seconds" == error.problem
    assert str(error).endswith("within 0.1 seconds. Raise timeout to wait longer.")


def test_a_connection_must_come_about_in_time() -> None:
    """A server that takes no part in TLS is given up after `connect_timeout`, which the error names."""

    error = late(hang, stream=False, scheme="https", connect_timeout=0.05)

    assert "no connection came about within 0.05 seconds" == error.problem
    assert re.fullmatch(r"Check that https://127.0.0.1:\d+ can be reached, or raise connect_timeout.", error.hint)


# -- the watch, on a clock that does not wait -----------------------------------


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
