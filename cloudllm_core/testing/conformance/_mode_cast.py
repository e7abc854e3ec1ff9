"""Scripted agents for the mode under test, and what must be true of every run whatever happened in it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import attrs
import pytest

from ... import events as e
from ..._agent import Agent
from ..._contracts import Emit, Mode, Request
from ..._history import validate_history
from ..._messages import Completion
from ..._orchestration import Orchestration
from ..._outlets import Journal, JournalText
from ..._records import Record
from ..._registry import Registry
from ...errors import Overloaded
from .._script import Line, ScriptedProvider, call
from .._virtual import Faults, Simulation, simulate
from ._chance import arguments_for, odd_json, odd_text

Say = Callable[[str, int, Request], Line]
"""What an agent says: given its name, how many calls its model had, this one included, and the request."""

CALLS = 3
"""Tool calls a turn may make here."""


class Speaker(ScriptedProvider):
    """Asks a function what to say, and takes a moment, so that agents who work at once overlap."""

    def __init__(self, agent: str, say: Say) -> None:
        super().__init__(lambda request: say(agent, len(self.requests), request), repeat=True)

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0.01)
        return await super().complete(request)

    async def stream(self, request: Request, emit: Emit) -> Completion:
        await asyncio.sleep(0.01)
        return await super().stream(request, emit)


@attrs.define(eq=False)
class Keeper(Journal):
    """Keeps lines in memory, and counts how often it was closed."""

    name: ClassVar[str] = "keeper"
    lines: list[bytes] = attrs.Factory(list)
    closed: int = 0

    @classmethod
    def create(cls, target: str) -> Self:
        return cls()

    @classmethod
    def read(cls, target: str) -> JournalText:
        return JournalText(source=target, lines=())

    def append(self, line: bytes, durable: bool) -> None:
        self.lines.append(line)

    def close(self) -> None:
        self.closed += 1


class Casting:
    """What the claims need to know about the mode under test."""

    names: ClassVar[Sequence[str]] = ("ada", "bob", "cy", "dee", "eve")
    """Agents, in order; the claims try the first one, the first two ... If settings name agents, name the same here."""

    fewest: ClassVar[int] = 1
    """How many of `names` the mode needs at least."""

    words: ClassVar[Sequence[str]] = ()
    """Words that mean something to this mode (ids, markers); agents who babble use them too."""

    prompt: ClassVar[str] = "Please begin."

    @pytest.fixture
    def mode(self) -> Mode:
        """The mode under test, with settings other than the default ones, if it has any."""
        raise NotImplementedError("Write a fixture `mode` that returns an instance of your mode.")

    def say(self, agent: str, nth: int, request: Request) -> Line:
        """What agents say unless a claim needs something else. Let each text occur once in a run."""
        return f"This is {agent}, call number {nth}."

    def most_turns(self, mode: Mode, agents: int) -> int:
        """How many turns *mode* may take with so many agents, whatever they say."""
        return 100 * agents

    def sizes(self) -> range:
        return range(self.fewest, len(self.names) + 1)

    @property
    def some(self) -> int:
        """A number of agents for claims that need no more than a few."""
        return min(max(3, self.fewest), len(self.names))

    def team(self, mode: Mode, count: int, say: Say | None = None, **options: Any) -> Orchestration:
        """The first *count* agents, around *mode*."""
        registry = Registry.of()
        agents = [
            Agent(name, Speaker(name, say or self.say), max_tool_calls=CALLS, registry=registry)
            for name in self.names[:count]
        ]
        return Orchestration(agents, mode, registry=registry, **options)

    def play(
        self,
        mode: Mode,
        count: int,
        say: Say | None = None,
        *,
        seed: int = 0,
        faults: Faults | None = None,
        journal: Journal | None = None,
        **options: Any,
    ) -> Simulation:
        """One run of a fresh team, in virtual time."""
        make = lambda: self.team(mode, count, say, **options)  # noqa: E731
        return simulate(make, self.prompt, seed=seed, faults=faults, journal=journal)


def babble(dice: random.Random, words: Sequence[str], failures: float = 0.1) -> Say:
    """Agents who say anything, call any tool with any arguments, and fail now and then."""

    def say(agent: str, nth: int, request: Request) -> Line:
        if dice.random() < failures:
            return Overloaded("babbled too much", "scripted")
        calls = []
        if request.tool_choice == "auto" and dice.random() < 0.5:
            for tool in dice.sample(request.tools, min(len(request.tools), dice.randrange(3))):
                fitting = arguments_for(tool.parameters, dice, *words)
                calls.append(call(tool.name, **(fitting if dice.random() < 0.8 else {"odd": odd_json(dice)})))
            if dice.random() < 0.1:
                calls.append(call("no_such_tool"))
        return [odd_text(dice, *words), *calls]

    return say


def of_type(records: Sequence[Record], *kinds: type[e.Event]) -> list[Any]:
    """The events of *kinds* in *records*, in order."""
    return [event for record in records if isinstance(event := record.event, kinds)]


def check_run(run: Simulation) -> None:
    """What is true of every run, however it ended."""
    records = run.records
    assert () == run.left, "tasks outlived the run"
    assert isinstance(records[0].event, e.RunStarted)
    assert isinstance(records[-1].event, (e.RunCompleted, e.RunFailed, e.RunCancelled))
    assert 1 == len(of_type(records, e.RunCompleted, e.RunFailed, e.RunCancelled)), "a run has one end"

    effects = [
        (record.lane, record.position, record.kind) for record in records if record.kind in ("started", "finished")
    ]
    assert 1 == max(Counter(effects).values(), default=1), "an effect starts once and ends once"
    started, ended = ({effect[:2] for effect in effects if effect[2] == kind} for kind in ("started", "finished"))
    assert started == ended, "an effect that starts has an end"

    opened = [event.round for event in of_type(records, e.RoundStarted)]
    assert list(range(1, len(opened) + 1)) == opened
    assert sorted(opened) == sorted(event.round for event in of_type(records, e.RoundCompleted)), "a round has one end"

    for agent in run.orchestration.agents:
        turns = [
            type(event).__name__
            for event in of_type(records, e.AgentSelected, e.AgentResponded, e.AgentFailed)
            if event.agent == agent.name
        ]
        assert ["AgentSelected"] * (len(turns) // 2) == turns[::2], "a turn begins with a selection"
        assert "AgentSelected" not in turns[1::2], "a turn that was begun has an end"
        assert 0 == len(turns) % 2, "a turn that was begun has an end"
        validate_history(agent.session.messages)

    assert len(of_type(records, e.AgentResponded)) == len(run.result.messages)
    for bar in of_type(records, e.Progress):
        assert 0 <= bar.done <= bar.total
    assert run.result.score is None or 0 <= run.result.score <= 1
