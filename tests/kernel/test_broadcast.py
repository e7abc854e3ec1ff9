"""What the broadcast promises: no sink harms a run, and every record is accounted for."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core import _broadcast
from cloudllm_core._broadcast import Broadcast, Feed, Outlet, SinkReport
from cloudllm_core._outlets import EventSink
from cloudllm_core._records import Record
from cloudllm_core._signals import LLMContentDelta, Signal

PATIENT = 30.0
"""Seconds a test waits for something that always comes."""


def record(number: int, run_id: str = "r") -> Record:
    return Record(number, 0.0, "run", number, "note", '{"event":"Beat"}', "", "", run_id)


def delta(text: str) -> LLMContentDelta:
    return LLMContentDelta(agent="ada", lane="ada", position=1, text=text)


class Notes(EventSink):
    """Remembers what it got, and from which threads."""

    name = "notes"

    def __init__(self, act: Callable[[Record], None] = lambda record: None) -> None:
        self.act = act
        self.got: list[tuple[str, int]] = []
        self.threads: set[threading.Thread] = set()
        self.closed = 0

    def receive(self, record: Record) -> None:
        self.threads.add(threading.current_thread())
        self.act(record)
        self.got.append((record.run_id, record.number))

    def close(self) -> None:
        self.threads.add(threading.current_thread())
        self.closed += 1

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.got]


class Listener(Notes):
    """Wants signals, too."""

    def __init__(self, act: Callable[[Record], None] = lambda record: None) -> None:
        super().__init__(act)
        self.heard: list[Any] = []

    def signal(self, signal: Signal) -> None:
        self.heard.append(signal)


class Gate:
    """Holds whoever comes, until opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, record: Record) -> None:
        self.reached.set()
        assert self._opened.wait(PATIENT)

    def open(self) -> None:
        self._opened.set()


def fail(record: Record) -> None:
    raise OSError("no paper")


def run_of(*outlets: Outlet, records: int = 3, budget: float = PATIENT) -> tuple[SinkReport, ...]:
    """One run of *records* records, from its start to its reports."""

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast(outlets)
        for number in range(1, records + 1):
            broadcast.send(record(number))
        return await broadcast.aclose(budget)

    return asyncio.run(run())


def join_sinks() -> None:
    """Wait until the sinks' threads that were left behind have come to their end."""
    for thread in threading.enumerate():
        if thread.name == "sink notes":
            thread.join(PATIENT)
            assert not thread.is_alive()


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


# -- delivery -----------------------------------------------------------------


def test_each_sink_gets_each_record_once_in_order() -> None:
    """Two sinks both see the run's records, numbered upwards."""
    one, two = Notes(), Notes()

    reports = run_of(*Outlet.of([one, two]), records=100)

    assert list(range(1, 101)) == one.numbers == two.numbers
    assert (SinkReport("notes", 100, 100, 0, 0, None),) * 2 == reports


def test_a_sink_is_called_from_one_thread_of_its_own_which_ends_with_the_run() -> None:
    """`receive` and `close` run in one thread; it is not the loop's, and it is gone when `aclose` returns."""
    sinks = [Notes() for _ in range(50)]

    async def run() -> list[bool]:
        broadcast = Broadcast(Outlet.of(sinks))
        broadcast.send(record(1))
        await broadcast.aclose(PATIENT)
        return [thread.is_alive() for sink in sinks for thread in sink.threads]

    assert [False] * 50 == asyncio.run(run())
    assert [1] * 50 == [sink.closed for sink in sinks]
    assert all(thread.daemon for sink in sinks for thread in sink.threads)


def test_a_thread_that_takes_its_time_to_end_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """When `aclose` returns, the thread has not just done its work but is gone."""

    class Lingering(threading.Thread):
        def run(self) -> None:
            self.joined = threading.Event()
            super().run()
            self.joined.wait(PATIENT)

        def join(self, timeout: float | None = None) -> None:
            self.joined.set()
            super().join(timeout)

    sink = Notes()
    monkeypatch.setattr(threading, "Thread", Lingering)

    run_of(Outlet(sink))

    assert [False] == [thread.is_alive() for thread in sink.threads]


def test_no_thread_is_started_before_the_first_record() -> None:
    """A run that sends nothing costs no thread, and such a sink is not closed."""
    sink = Notes()
    before = threading.active_count()

    async def run() -> int:
        broadcast = Broadcast([Outlet(sink)])
        during = threading.active_count()
        await broadcast.aclose()
        return during

    assert before == asyncio.run(run())
    assert 0 == sink.closed


def test_a_broadcast_without_sinks_is_silent() -> None:
    """Nobody listens: it says so beforehand, and closing it gives no reports."""
    broadcast = Broadcast([])

    assert broadcast.silent
    assert not broadcast.wants_signals
    assert () == asyncio.run(broadcast.aclose())
    assert not Broadcast([Outlet(Notes())]).silent


def test_a_sink_listed_twice_gets_each_record_once() -> None:
    """Sinks are told apart by identity: not doubled when listed twice, not merged when equal."""

    class Equal(Notes):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    one, two = Equal(), Equal()
    outlets = Outlet.of([one, two, one])

    run_of(*outlets)

    assert [one, two] == [outlet.sink for outlet in outlets]
    assert [1, 2, 3] == one.numbers == two.numbers


def test_an_outlet_serves_one_run_after_another() -> None:
    """The sink's thread ends with a run, is started again by the next, and each report counts its own run."""
    sink = Notes()
    outlet = Outlet(sink)

    first, second = run_of(outlet, records=2), run_of(outlet, records=5)

    assert (2, 5) == (first[0].delivered, second[0].delivered)
    assert 2 == sink.closed


def test_concurrent_runs_share_a_sink_and_are_counted_apart() -> None:
    """Runs in loops of their own: one call at a time, in each run's order, the numbers for each run alone."""
    busy = threading.Lock()

    def alone(record: Record) -> None:
        assert busy.acquire(blocking=False), "two calls at once"
        busy.release()

    sink = Notes(alone)
    outlet = Outlet(sink)
    reports: dict[str, SinkReport] = {}

    async def run(run_id: str, records: int) -> None:
        broadcast = Broadcast([outlet])
        for number in range(1, records + 1):
            broadcast.send(record(number, run_id))
            if not number % 7:
                await asyncio.sleep(0)
        (reports[run_id],) = await broadcast.aclose(PATIENT)

    lengths = {"a": 50, "b": 300, "c": 1000}
    loops = [threading.Thread(target=lambda item=item: asyncio.run(run(*item))) for item in lengths.items()]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()

    assert lengths == {run_id: report.delivered for run_id, report in reports.items()}
    for run_id, records in lengths.items():
        assert list(range(1, records + 1)) == [number for who, number in sink.got if who == run_id]


def test_a_sink_is_closed_only_when_the_last_run_leaves() -> None:
    """While one run still feeds it, the end of another does not close it."""
    sink = Notes()
    outlet = Outlet(sink)

    async def both() -> list[int]:
        one, two = Broadcast([outlet]), Broadcast([outlet])
        one.send(record(1))
        await one.aclose(PATIENT)
        closed = [sink.closed]
        two.send(record(1))
        await two.aclose(PATIENT)
        return [*closed, sink.closed]

    assert [0, 1] == asyncio.run(both())


def test_what_is_sent_after_the_end_is_no_longer_counted() -> None:
    """A closed broadcast takes nothing, says nothing and does not raise."""
    sink = Notes()

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([Outlet(sink)])
        broadcast.send(record(1))
        reports = await broadcast.aclose(PATIENT)
        broadcast.send(record(2))
        broadcast.signal(delta("x"))
        assert () == await broadcast.aclose()
        return reports

    assert 1 == asyncio.run(run())[0].sent
    assert [1] == sink.numbers


def test_a_waiting_thread_keeps_no_record_alive() -> None:
    """Between records, neither the queue nor the thread holds the last one."""

    async def run() -> bool:
        broadcast, died = Broadcast([Outlet(Forgetful())]), threading.Event()
        item = record(1)
        weakref.finalize(item, died.set)
        broadcast.send(item)
        del item
        gone = await asyncio.to_thread(died.wait, PATIENT)
        await broadcast.aclose(PATIENT)
        return gone

    assert asyncio.run(run())


class Forgetful(EventSink):
    name = "forgets"

    def receive(self, record: Record) -> None:
        pass


# -- signals ------------------------------------------------------------------


def test_only_a_sink_that_overrides_signal_wants_signals() -> None:
    """Signals reach those who ask for them, and count nowhere."""
    deaf, keen = Notes(), Listener()

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([Outlet(deaf), Outlet(keen)])
        assert broadcast.wants_signals
        assert not Broadcast([Outlet(deaf)]).wants_signals
        broadcast.send(record(1))
        broadcast.signal(delta("Hel"))
        broadcast.signal(delta("lo"))
        return await broadcast.aclose(PATIENT)

    reports = asyncio.run(run())

    assert [1, 1] == [report.sent for report in reports]
    assert ["Hel", "lo"] == [signal.text for signal in keen.heard]


def test_signals_give_way_to_records() -> None:
    """A flood of tokens fills half of the queue at most; records still find room."""
    gate = Gate()
    sink = Listener(gate)

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([Outlet(sink, limit=10)])
        broadcast.send(record(1))
        await asyncio.to_thread(gate.reached.wait, PATIENT)
        for number in range(100):
            broadcast.signal(delta(str(number)))
        for number in range(2, 7):
            broadcast.send(record(number))
        gate.open()
        return await broadcast.aclose(PATIENT)

    (report,) = asyncio.run(run())

    assert 5 == len(sink.heard)
    assert SinkReport("notes", 6, 6, 0, 0, None) == report


def test_signals_that_fail_count_against_a_sink_though_others_went_well(log: list[Any]) -> None:
    """A sink that takes every signal but no record is given up all the same."""

    class Half(Listener):
        def receive(self, record: Record) -> None:
            raise OSError("no paper")

    sink = Half()

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([Outlet(sink)])
        for number in range(10):
            broadcast.send(record(number))
            broadcast.signal(delta("x"))
        return await broadcast.aclose(PATIENT)

    (report,) = asyncio.run(run())

    assert (10, 0, 5, 5) == (report.sent, report.delivered, report.failed, report.dropped)


# -- sinks that raise ---------------------------------------------------------


def test_a_sink_that_raises_now_and_then_goes_on() -> None:
    """Failures that are not in a row are counted and said, and cost only their record."""

    def sometimes(record: Record) -> None:
        if record.number % 5:
            fail(record)

    sink = Notes(sometimes)

    (report,) = run_of(Outlet(sink), records=20)

    assert SinkReport("notes", 20, 4, 16, 0, "raised OSError: no paper") == report
    assert [5, 10, 15, 20] == sink.numbers


def test_a_sink_that_fails_five_times_in_a_row_is_given_up_and_that_is_logged_once(log: list[Any]) -> None:
    """The rest of the orchestration's records are dropped, the next run's included; one warning names the cause."""
    calls: list[int] = []

    def always(record: Record) -> None:
        calls.append(record.number)
        fail(record)

    outlet = Outlet(Notes(always))
    (first,), (second,) = run_of(outlet, records=20), run_of(outlet, records=3)

    why = "was given up after 5 failures in a row, the last OSError: no paper"
    assert [1, 2, 3, 4, 5] == calls
    assert SinkReport("notes", 20, 0, 5, 15, why) == first
    assert SinkReport("notes", 3, 0, 0, 3, why) == second
    (entry,) = log
    assert ("event_sink.given_up", "warning", "notes") == (entry["event"], entry["log_level"], entry["sink"])
    assert isinstance(entry["exc_info"], OSError)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (SystemExit, "SystemExit: I am off"),
        (KeyboardInterrupt, "KeyboardInterrupt: I am off"),
        (GeneratorExit, "GeneratorExit: I am off"),
        (asyncio.CancelledError, "asyncio.exceptions.CancelledError: I am off"),
    ],
)
def test_a_sink_cannot_end_its_thread(kind: type[BaseException], told: str) -> None:
    """What is no Exception counts as a failure like any other."""

    def leave(record: Record) -> None:
        if record.number == 1:
            raise kind("I am off")

    assert (SinkReport("notes", 3, 2, 1, 0, f"raised {told}"),) == run_of(Outlet(Notes(leave)))


def test_an_exception_that_cannot_be_told_is_a_failure_like_any_other() -> None:
    """`str(exception)` raises: the run is not harmed and the problem still has a name."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    def mute(record: Record) -> None:
        raise Mute

    (report,) = run_of(Outlet(Notes(mute)), records=1)

    assert 1 == report.failed
    assert "Mute: <exception str() failed>" in (report.problem or "")


def test_a_log_that_raises_harms_neither_run_nor_sink() -> None:
    """A processor that raises, even SystemExit, does not end the thread that reports."""

    def broken(*_: Any) -> Any:
        raise SystemExit("no log today")

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[broken])
    try:
        (report,) = run_of(Outlet(Notes(fail)), records=9)
    finally:
        structlog.configure(processors=before)

    assert (9, 0, 5, 4) == (report.sent, report.delivered, report.failed, report.dropped)


def test_a_sink_that_cannot_be_closed_is_said() -> None:
    """What `close` raises is in the report; no record is missing."""

    class Jammed(Notes):
        def close(self) -> None:
            raise OSError("jammed")

    assert (SinkReport("notes", 3, 3, 0, 0, "raised OSError: jammed"),) == run_of(Outlet(Jammed()))


# -- sinks that dawdle --------------------------------------------------------


def test_the_newest_records_are_dropped_when_the_queue_is_full() -> None:
    """Sending goes on while a sink blocks; what does not fit is dropped, counted and explained."""
    gate = Gate()
    sink = Notes(gate)

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([Outlet(sink, limit=4)])
        broadcast.send(record(1))
        await asyncio.to_thread(gate.reached.wait, PATIENT)
        for number in range(2, 11):
            broadcast.send(record(number))
        gate.open()
        return await broadcast.aclose(PATIENT)

    (report,) = asyncio.run(run())

    assert [1, 2, 3, 4, 5] == sink.numbers
    assert (10, 5, 0, 5) == (report.sent, report.delivered, report.failed, report.dropped)
    assert "was too slow: 4 items waited for it, which is the most that may" == report.problem


def test_waiting_for_a_sink_does_not_block_the_loop() -> None:
    """The gate is opened by the very loop that waits; were it blocked, everything would be dropped."""
    gate = Gate()

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([Outlet(Notes(gate))])
        for number in range(1, 4):
            broadcast.send(record(number))

        async def opens() -> None:
            await asyncio.to_thread(gate.reached.wait, PATIENT)
            gate.open()

        opener = asyncio.create_task(opens())
        reports = await broadcast.aclose(PATIENT)
        await opener
        return reports

    assert (SinkReport("notes", 3, 3, 0, 0, None),) == asyncio.run(run())


def test_whoever_asks_a_person_can_wait_until_the_sinks_have_caught_up() -> None:
    """What was sent so far has been taken then; a sink that hangs is waited for no longer than was said."""
    gate = Gate()
    sink = Notes()

    async def run(*sinks: EventSink, budget: float) -> list[int]:
        broadcast = Broadcast(Outlet.of(sinks))
        for number in range(1, 101):
            broadcast.send(record(number))
        await broadcast.caught_up(budget)
        taken = list(sink.numbers)
        gate.open()
        await broadcast.aclose(PATIENT)
        return taken

    assert list(range(1, 101)) == asyncio.run(run(sink, budget=PATIENT))
    asyncio.run(run(Notes(gate), budget=0.01))
    assert gate.reached.is_set()


def test_what_a_sink_has_not_taken_within_the_budget_is_dropped() -> None:
    """The report does not wait for ever, and what is left never reaches the sink, even when it comes back."""
    gate = Gate()
    sink, healthy = Notes(gate), Notes()
    outlet = Outlet(sink)

    late, fine = run_of(outlet, Outlet(healthy), budget=0.05)
    gate.open()
    join_sinks()
    (after,) = run_of(outlet, records=1)

    assert SinkReport("notes", 3, 0, 0, 3, "was not done in time when the run ended; the rest was dropped") == late
    assert SinkReport("notes", 3, 3, 0, 0, None) == fine
    assert 1 == after.delivered
    assert [1, 1] == sink.numbers  # the call under way, and the next run's record


def test_a_sink_that_hangs_is_waited_for_only_once() -> None:
    """The next run does not spend its budget on the same call again, and still says what is missing."""
    gate = Gate()
    outlet = Outlet(Notes(gate))

    async def second() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([outlet])
        broadcast.send(record(1))
        return await asyncio.wait_for(broadcast.aclose(3600.0), PATIENT)

    run_of(outlet, budget=0.05)
    try:
        (report,) = asyncio.run(second())
    finally:
        gate.open()

    assert (1, 0, 0, 1) == (report.sent, report.delivered, report.failed, report.dropped)


def test_one_budget_serves_all_sinks_together() -> None:
    """Sinks are waited for at once: each of 50 that hang does not add its own wait."""
    gate = Gate()

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast(Outlet.of(Notes(gate) for _ in range(50)))
        broadcast.send(record(1))
        return await asyncio.wait_for(broadcast.aclose(1.0), PATIENT)

    try:
        reports = asyncio.run(run())
    finally:
        gate.open()

    assert [1] * 50 == [report.dropped for report in reports]


def test_a_virtual_clock_does_not_cut_the_wait_short() -> None:
    """Under a clock that leaps over every timer, sinks still get their time, which is real."""
    ready = threading.Event()

    class Leaping(asyncio.SelectorEventLoop):
        leaps = itertools.count(0, 1000)

        def time(self) -> float:
            return float(next(self.leaps))

    def slowly(record: Record) -> None:
        assert ready.wait(PATIENT)

    async def run() -> tuple[SinkReport, ...]:
        broadcast = Broadcast([Outlet(Notes(slowly))])
        for number in range(1000):
            broadcast.send(record(number))
        asyncio.get_running_loop().call_later(1.0, ready.set)
        return await broadcast.aclose(PATIENT)

    loop = Leaping()
    try:
        (report,) = loop.run_until_complete(run())
    finally:
        loop.close()

    assert 1000 == report.delivered


def test_a_thread_that_is_done_after_its_loop_is_closed_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The report came without it and the loop is gone; nothing is raised or logged in the thread."""
    gate = Gate()
    sink = Notes(gate)
    run_of(Outlet(sink), records=1, budget=0.05)
    gate.reached.wait(PATIENT)
    gate.open()
    join_sinks()

    assert [1] == sink.numbers
    assert 1 == sink.closed
    assert [] == caplog.records


def test_cancelling_the_wait_drops_the_rest() -> None:
    """Whoever cancels `aclose` gets the cancellation; the sink sees no more of that run."""
    gate = Gate()
    sink = Notes(gate)
    outlet = Outlet(sink)

    async def run() -> None:
        broadcast = Broadcast([outlet])
        for number in range(1, 4):
            broadcast.send(record(number))
        await asyncio.to_thread(gate.reached.wait, PATIENT)
        closing = asyncio.create_task(broadcast.aclose(PATIENT))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

    asyncio.run(run())
    gate.open()
    join_sinks()

    assert 1 == run_of(outlet, records=1)[0].delivered
    assert [1, 1] == sink.numbers


def test_a_sink_that_sends_from_within_is_served() -> None:
    """A sink that answers each record with another one neither deadlocks nor recurses, and ends with the run."""
    broadcasts: list[Broadcast] = []

    def echo(item: Record) -> None:
        broadcasts[0].send(record(item.number + 1000))

    sink = Notes(echo)

    async def run() -> tuple[SinkReport, ...]:
        broadcasts.append(Broadcast([Outlet(sink, limit=50)]))
        for number in range(1, 4):
            broadcasts[0].send(record(number))
        return await broadcasts[0].aclose(PATIENT)

    (report,) = asyncio.run(run())

    assert report.sent == report.delivered + report.failed + report.dropped
    assert len(sink.numbers) == report.delivered
    assert [1, 2, 3] == [number for number in sink.numbers if number < 1000]


def test_without_a_thread_to_be_had_a_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses another thread: everything is dropped and said, nothing is raised."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert (SinkReport("notes", 3, 0, 0, 3, "got no thread to work in"),) == run_of(Outlet(Notes()))


def test_a_sink_that_blocks_for_ever_does_not_hold_the_interpreter() -> None:
    """A process whose sink never returns ends by itself, with its own exit status."""
    program = """
import asyncio, sys, threading
from cloudllm_core._broadcast import Broadcast, Outlet
from cloudllm_core._outlets import EventSink

class Hangs(EventSink):
    name = "hangs"
    def receive(self, record):
        threading.Event().wait()

async def run():
    broadcast = Broadcast([Outlet(Hangs())])
    broadcast.send("a record")
    (report,) = await broadcast.aclose(0.05)
    print(report.dropped)

asyncio.run(run())
sys.exit(7)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=PATIENT
    )

    assert (7, "1\n", "") == (ended.returncode, ended.stdout, ended.stderr)


# -- the sum ------------------------------------------------------------------

ACTS = st.sampled_from(["take", "take", "raise", "exit", "wait", "hang", "echo", "mute"])


class Moody(Listener):
    """Acts by a script, one entry a record, over and over."""

    name = "moody"

    def __init__(self, script: list[str]) -> None:
        super().__init__()
        self.script = itertools.cycle(script)
        self.soon, self.never = threading.Event(), threading.Event()
        self.tried = self.raised = 0
        self.home: Broadcast | None = None

    def receive(self, item: Record) -> None:
        self.tried += 1
        act = next(self.script)
        if act == "wait":
            self.soon.wait(PATIENT)
        elif act == "hang":
            self.never.wait(PATIENT)
        elif act == "echo" and self.home:
            self.home.send(item)
        elif act in ("raise", "exit", "mute"):
            self.raised += 1
            raise {"raise": OSError, "exit": SystemExit, "mute": KeyboardInterrupt}[act]("in a mood")
        self.got.append((item.run_id, item.number))

    def signal(self, signal: Signal) -> None:
        if next(self.script) == "raise":
            raise OSError("in a mood")


@settings(max_examples=60, deadline=None)
@given(
    scripts=st.lists(st.lists(ACTS, min_size=1, max_size=8), min_size=1, max_size=4),
    limit=st.integers(1, 12),
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=3),
    signals=st.booleans(),
)
def test_sent_is_always_delivered_failed_and_dropped_together(
    scripts: list[list[str]], limit: int, lengths: list[int], signals: bool
) -> None:
    """For every mix of sinks, queues and concurrent runs: no record is lost from the sum or counted twice."""
    sinks = [Moody(script) for script in scripts]
    outlets = [Outlet(sink, limit=limit) for sink in sinks]
    hangs = any("hang" in script for script in scripts)

    async def run(index: int, length: int) -> tuple[SinkReport, ...]:
        broadcast = Broadcast(outlets)
        for sink in sinks:
            sink.home = broadcast
        for number in range(length):
            broadcast.send(record(number, str(index)))
            if signals:
                broadcast.signal(delta("x"))
            await asyncio.sleep(0)
        for sink in sinks:
            sink.soon.set()
        return await broadcast.aclose(0.02 if hangs else PATIENT)

    async def all_runs() -> list[tuple[SinkReport, ...]]:
        return await asyncio.gather(*[run(index, length) for index, length in enumerate(lengths)])

    try:
        with structlog.testing.capture_logs():
            reports = asyncio.run(all_runs())
    finally:
        for sink in sinks:
            sink.never.set()

    for of_run, length in zip(reports, lengths, strict=True):
        for report in of_run:
            assert report.sent == report.delivered + report.failed + report.dropped
            assert min(report.sent, report.delivered, report.failed, report.dropped) >= 0
            assert report.sent >= length
            assert report.problem or not (report.failed or report.dropped)
    if not hangs:
        for sink, of_sink in zip(sinks, zip(*reports, strict=True), strict=True):
            assert len(sink.got) == sum(report.delivered for report in of_sink)
            assert sink.raised == sum(report.failed for report in of_sink)


@settings(max_examples=40, deadline=None)
@given(senders=st.integers(2, 4), records=st.integers(1, 400), limit=st.integers(1, 2000))
def test_the_sum_holds_when_several_threads_send_at_once(senders: int, records: int, limit: int) -> None:
    """No count is lost between threads: all that was sent is in `sent`."""
    sink = Notes()
    outlet = Outlet(sink, limit=limit)
    start = threading.Barrier(senders)

    async def run() -> SinkReport:
        broadcast = Broadcast([outlet])

        def send() -> None:
            start.wait(PATIENT)
            for number in range(records):
                broadcast.send(record(number))

        await asyncio.gather(*[asyncio.to_thread(send) for _ in range(senders)])
        (report,) = await broadcast.aclose(PATIENT)
        return report

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        report = asyncio.run(run())
    finally:
        sys.setswitchinterval(interval)

    assert senders * records == report.sent
    assert len(sink.got) == report.delivered == report.sent - report.dropped


def test_feeds_and_outlets_are_lives_not_values() -> None:
    """Two feeds with the same counts are still two; so are two outlets of one sink."""
    sink = Notes()

    assert Feed() != Feed()
    assert Outlet(sink) != Outlet(sink)
    assert 5 == _broadcast.PATIENCE
