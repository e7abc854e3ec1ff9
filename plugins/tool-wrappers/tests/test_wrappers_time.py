"""Rate limits and caches, on a clock that jumps."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.testing import run_virtually
from cloudllm_tool_wrappers import Cached, RateLimit, TooManyCallsError

# -- rate limits --------------------------------------------------------------


def test_calls_wait_for_their_turn(workshop: Any, context: Any) -> None:
    """Two in ten seconds: the third begins ten seconds after the first."""
    inner = workshop()
    protocol = RateLimit(inner, 2, 10)

    async def main(loop: Any) -> None:
        await asyncio.gather(*(protocol.call("look", {"word": str(n)}, context()) for n in range(5)))

    run_virtually(main)
    assert [0, 0, 10, 10, 20] == pytest.approx(inner.times)
    assert ["0", "1", "2", "3", "4"] == [arguments["word"] for _, arguments in inner.calls]


@given(
    st.integers(1, 4),
    st.sampled_from([1.0, 2.5, 10.0]),
    st.lists(st.tuples(st.floats(0, 8), st.none() | st.floats(0, 8)), max_size=14),
)
def test_no_span_holds_too_many(workshop: Any, context: Any, calls: int, seconds: float, asks: Any) -> None:
    """Whenever calls come and whichever are cancelled: never too many in a span, and first come is first served."""
    inner = workshop()
    protocol = RateLimit(inner, calls, seconds)

    arrivals = itertools.count(10)

    async def ask(at: float, patience: float | None) -> None:
        await asyncio.sleep(at)
        with contextlib.suppress(TimeoutError):  # it gave up
            async with asyncio.timeout(patience):
                await protocol.call("look", {"word": str(next(arrivals))}, context())

    async def main(loop: Any) -> None:
        await asyncio.gather(*(ask(at, patience) for at, patience in asks))

    run_virtually(main)
    for first, later in zip(inner.times, inner.times[calls:], strict=False):
        assert later - first >= seconds - 1e-6
    came = sorted((arguments["word"], began) for (_, arguments), began in zip(inner.calls, inner.times, strict=True))
    for (_, first), (_, later) in itertools.pairwise(came):
        assert later >= first - 1e-6
    assert len(inner.calls) >= sum(patience is None for _, patience in asks)


def test_a_call_that_cannot_wait_is_told_when(workshop: Any, context: Any) -> None:
    """What would begin after its own time is refused at once, takes no room, and says when there is some."""
    inner = workshop()
    protocol = RateLimit(inner, 1, 60)

    async def main(loop: Any) -> None:
        await protocol.call("look", {}, context(30))
        await asyncio.sleep(10.5)
        with pytest.raises(TooManyCallsError) as refused:
            await protocol.call("look", {}, context(40.5))
        expected = "'look' was not called: its source allows 1 calls in 60 s. Try again in 50 s."
        assert expected == str(refused.value)
        assert 10.5 == loop.time()
        with pytest.raises(TooManyCallsError):
            await protocol.call("look", {}, context(60))
        await asyncio.sleep(49.5)
        await protocol.call("look", {}, context(61))
        assert 60 == loop.time()

    run_virtually(main)
    assert 2 == len(inner.calls)


def test_who_gives_up_waiting_leaves_room(workshop: Any, context: Any) -> None:
    """The next one may have its turn."""
    inner = workshop()
    protocol = RateLimit(inner, 1, 10)

    async def main(loop: Any) -> None:
        await protocol.call("look", {}, context())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await protocol.call("look", {}, context())
        await protocol.call("look", {}, context())

    run_virtually(main)
    assert [0, 10] == inner.times


def test_composite_tools_are_not_limited(workshop: Any, context: Any) -> None:
    """They may await nothing but the hub."""
    inner = workshop()
    protocol = RateLimit(inner, 1, 60)

    async def main(loop: Any) -> None:
        for _ in range(3):
            await protocol.call("lead", {}, context())
        assert 0 == loop.time()

    run_virtually(main)


# -- caches -------------------------------------------------------------------


def test_a_result_is_kept_for_a_while(workshop: Any, context: Any) -> None:
    """Within its time the same question has the same answer, however it is spelt; then it is asked again."""
    inner = workshop()
    protocol = Cached(inner, seconds=60)

    async def main(loop: Any) -> None:
        first = await protocol.call("look", {"word": "oak", "n": {"a": 1, "b": [2]}}, context())
        await asyncio.sleep(59)
        again = await protocol.call("look", {"n": {"b": [2], "a": 1}, "word": "oak"}, context())
        assert first is again
        await asyncio.sleep(1)
        later = await protocol.call("look", {"word": "oak", "n": {"a": 1, "b": [2]}}, context())
        assert 2 == later["nth"]

    run_virtually(main)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("look", {"n": 1}), ("look", {"n": 1.0})),
        (("look", {"n": 1}), ("look", {"n": True})),
        (("look", {"n": 1}), ("look", {"n": "1"})),
        (("look", {}), ("look", {"n": None})),
        (("look", {"n": 1}), ("weigh", {"n": 1})),
    ],
)
def test_different_calls_have_different_results(workshop: Any, context: Any, one: Any, other: Any) -> None:
    """Nobody gets the answer to another question."""
    inner = workshop()
    protocol = Cached(inner)

    async def main() -> None:
        for tool, arguments in (one, other, one, other):
            await protocol.call(tool, arguments, context())

    asyncio.run(main())
    assert [one, other] == inner.calls


@pytest.mark.parametrize("tool", ["mark", "build", "lead"])
def test_only_reads_are_kept_and_writes_empty_the_cache(workshop: Any, context: Any, tool: str) -> None:
    """What changes something is done each time, and afterwards nobody reads what was before."""
    inner = workshop()
    protocol = Cached(inner)

    async def main() -> None:
        for name in ("look", tool, tool, "look", "look"):
            await protocol.call(name, {"word": "oak"}, context())

    asyncio.run(main())
    assert ["look", tool, tool, "look"] == inner.reached()


def test_a_read_begun_before_a_write_is_not_kept(workshop: Any, context: Any) -> None:
    """It may have seen the old: whoever asks after the write asks anew."""
    inner = workshop(pause=1)
    protocol = Cached(inner)

    async def main(loop: Any) -> None:
        old = asyncio.gather(*(protocol.call("look", {}, context()) for _ in range(2)))
        await asyncio.sleep(0.5)
        write = asyncio.ensure_future(protocol.call("build", {}, context()))
        await asyncio.sleep(0.1)
        new = asyncio.ensure_future(protocol.call("look", {}, context()))
        (first, second), _, third = await asyncio.gather(old, write, new)
        assert first is second
        assert first is not third
        await protocol.call("look", {}, context())

    run_virtually(main)
    assert ["look", "build", "look", "look"] == inner.reached()


def test_an_error_that_nobody_waited_for_is_not_complained_about(workshop: Any, context: Any) -> None:
    """It was raised where the call was made, and that is enough."""
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, about: complaints.append(about))
        with pytest.raises(ValueError, match="broken"):
            await Cached(workshop()).call("look", {"word": "broken"}, context())
        gc.collect()

    asyncio.run(main())
    assert [] == complaints


def test_errors_are_not_kept(workshop: Any, context: Any) -> None:
    """The next one tries again."""
    inner = workshop()
    protocol = Cached(inner)

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="look cannot do with what is broken"):
                await protocol.call("look", {"word": "broken"}, context())

    asyncio.run(main())
    assert 2 == len(inner.calls)


@pytest.mark.parametrize("word", ["oak", "broken"])
def test_identical_calls_at_once_are_one(workshop: Any, context: Any, word: str) -> None:
    """Ten ask, one call is made, and all have its result or its error."""
    inner = workshop(pause=1)
    protocol = Cached(inner)

    async def main(loop: Any) -> None:
        asks = [protocol.call("look", {"word": word}, context()) for _ in range(10)]
        results = await asyncio.gather(*asks, return_exceptions=True)
        assert 1 == len(set(map(id, results)))
        assert 1 == loop.time()

    run_virtually(main)
    assert 1 == len(inner.calls)


def test_a_cancelled_call_does_not_harm_those_who_wait_for_it(workshop: Any, context: Any) -> None:
    """If the one who makes it gives up, another makes it; if one who waits gives up, the others wait on."""
    inner = workshop(pause=1)
    protocol = Cached(inner)

    async def main(loop: Any) -> None:
        tasks = [asyncio.ensure_future(protocol.call("look", {}, context())) for _ in range(4)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        tasks[3].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert isinstance(results[3], asyncio.CancelledError)
        assert 2 == results[1]["nth"] == results[2]["nth"]

    run_virtually(main)
    assert 2 == len(inner.calls)


@given(st.lists(st.tuples(st.floats(0, 3), st.none() | st.floats(0, 3)), max_size=10))
def test_whoever_stays_is_answered(workshop: Any, context: Any, asks: list[tuple[float, float | None]]) -> None:
    """Whenever they come and give up: who has patience has a result, and two calls are never under way at once."""
    inner = workshop(pause=1)
    protocol = Cached(inner, seconds=0.5)

    async def ask(at: float, patience: float | None) -> bool:
        await asyncio.sleep(at)
        try:
            async with asyncio.timeout(patience):
                await protocol.call("look", {}, context())
        except TimeoutError:
            return False
        return True

    async def main(loop: Any) -> None:
        answered = await asyncio.gather(*(ask(at, patience) for at, patience in asks))
        assert all(done for done, (_, patience) in zip(answered, asks, strict=True) if patience is None)

    run_virtually(main)
    if all(patience is None for _, patience in asks):
        assert all(later - first >= 1 for first, later in itertools.pairwise(inner.times))


def test_the_cache_has_a_size(workshop: Any, context: Any) -> None:
    """The result not used for longest goes first."""
    inner = workshop()
    protocol = Cached(inner, size=2)

    async def main() -> None:
        for word in ("a", "b", "a", "c", "a", "b"):
            await protocol.call("look", {"word": word}, context())

    asyncio.run(main())
    assert ["a", "b", "c", "b"] == [arguments["word"] for _, arguments in inner.calls]


def test_two_event_loops_do_not_wait_for_each_other(workshop: Any, context: Any) -> None:
    """A call left hanging in one loop does not block another."""
    inner = workshop(pause=0.01)
    protocol = Cached(inner)
    first = asyncio.new_event_loop()
    hanging = first.create_task(protocol.call("look", {}, context()))
    first.run_until_complete(asyncio.sleep(0))

    assert 2 == asyncio.run(protocol.call("look", {}, context()))["nth"]

    hanging.cancel()
    first.run_until_complete(asyncio.wait([hanging]))
    first.close()
