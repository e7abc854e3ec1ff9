"""Virtual time and chosen order: interleavings explored in milliseconds, each with a seed to find it again."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import attrs

from .._contracts import Emit, Provider, Request, ToolContext, ToolDefinition, ToolProtocol
from .._messages import Completion, JsonObject
from .._orchestration import Orchestration
from .._outlets import Journal
from .._records import Record
from .._run import Conditions, RunResult
from .._toolbox import Toolbox
from ..errors import Overloaded

T = TypeVar("T")

EPOCH = 1_000_000_000.0
"""When virtual time begins, in seconds since 1970."""


class _Skip(selectors.DefaultSelector):
    """A selector that, where nothing is ready, lets time pass instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer whenever nothing else is to be done."""

    def __init__(self) -> None:
        self._skip = _Skip()
        super().__init__(self._skip)

    def time(self) -> float:
        return self._skip.now

    def wall(self) -> float:
        """Virtual seconds since 1970, for records."""
        return EPOCH + self._skip.now


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run *main* on a loop of virtual time; a day passes in no time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        for task in (left := asyncio.all_tasks(loop)):
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@attrs.frozen(kw_only=True)
class Faults:
    """What goes wrong in a simulation. Shares are from 0 to 1."""

    provider: float = 0.0
    """Share of model calls that fail."""

    tool: float = 0.0
    """Share of tool calls that raise."""

    cancel_at: int | None = None
    """The run is cancelled when this record has been written."""


@attrs.define(eq=False)
class _Weather:
    """Draws how long things take and what fails, from one seed."""

    random: random.Random
    faults: Faults
    latency: float

    async def blow(self, share: float) -> None:
        if self.random.random() < 0.8:
            await asyncio.sleep(self.random.random() * self.latency)
        if self.random.random() < share:
            raise Overloaded("the simulation's weather", "simulated")


class _Rough(Provider):
    name: ClassVar[str] = "rough"

    def __init__(self, inner: Provider, weather: _Weather) -> None:
        self.inner, self.weather = inner, weather
        self.name = inner.name  # type: ignore[misc] # the journal shall say who it is

    async def complete(self, request: Request) -> Completion:
        await self.weather.blow(self.weather.faults.provider)
        completion = await self.inner.complete(request)
        await self.weather.blow(0)
        return completion

    async def stream(self, request: Request, emit: Emit) -> Completion:
        await self.weather.blow(self.weather.faults.provider)
        return await self.inner.stream(request, emit)


class _RoughTools(ToolProtocol):
    name: ClassVar[str] = "rough"

    def __init__(self, inner: ToolProtocol, weather: _Weather) -> None:
        self.inner, self.weather = inner, weather

    def tools(self) -> Sequence[ToolDefinition]:
        return self.inner.tools()

    async def call(self, tool: str, arguments: JsonObject, context: ToolContext) -> Any:
        if context.hub is not None:  # mode code waits for nothing but the hub
            return await self.inner.call(tool, arguments, context)
        await self.weather.blow(self.weather.faults.tool)
        result = await self.inner.call(tool, arguments, context)
        await self.weather.blow(0)
        return result


@attrs.frozen(kw_only=True)
class Simulation:
    """One interleaving, and what came of it."""

    seed: int
    result: RunResult
    records: tuple[Record, ...]
    orchestration: Orchestration
    left: tuple[str, ...]
    """Tasks that outlived the run; should be none."""


def simulate(
    make: Callable[[], Orchestration],
    prompt: str = "Begin.",
    *,
    seed: int,
    faults: Faults | None = None,
    latency: float = 0.01,
    journal: Journal | None = None,
) -> Simulation:
    """
    Run an orchestration in virtual time, its latencies and the kernel's order of admission drawn from *seed*.

    The same *make*, *seed* and *faults* give the same records, so an interleaving that broke
    something can be named and run again.

    Args:
        make: gives a fresh orchestration; its providers and tools must not wait for the real world.
        latency: the most seconds of virtual time a call takes on either way.
        journal: where the records are kept; in memory if None.
    """
    faults = faults or Faults()
    dice = random.Random(seed)  # noqa: S311 -- a simulation wants repeatable dice
    weather = _Weather(dice, faults, latency)

    async def main(loop: VirtualLoop) -> Simulation:
        orchestration = make()
        for agent in orchestration.agents:
            agent.provider = _Rough(agent.provider, weather)
            box = Toolbox()
            for name, protocol in agent.toolbox.protocols.items():
                box.add(_RoughTools(protocol, weather), name)
            agent.toolbox = box
        conditions = Conditions(clock=loop.wall, choose=dice.randrange, run_id=f"sim-{seed}")
        run = orchestration.run(prompt, journal=journal, seed=str(seed), conditions=conditions)
        if faults.cancel_at is not None:
            _cancel_at(run, faults.cancel_at)
        result = await run
        await asyncio.sleep(0)
        left = tuple(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})
        return Simulation(seed=seed, result=result, records=tuple(run.records), orchestration=orchestration, left=left)

    return run_virtually(main)


def _cancel_at(run: Any, number: int) -> None:
    tape = run.spine.tape
    inner = tape.on_record

    if number == 1:  # it has been written already
        run.spine.input({"what": "cancel"})

    def on_record(record: Record) -> None:
        inner(record)
        if record.number == number:
            run.spine.input({"what": "cancel"})

    tape.on_record = on_record
