"""Small modes, tools and shortcuts that the tests of the kernel share."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import attrs

from cloudllm_core import (
    Completion,
    Hub,
    Message,
    Mode,
    Orchestration,
    Outcome,
    Record,
    Reply,
    Request,
    RunResult,
    Usage,
    validate_history,
)
from cloudllm_core._run import Conditions
from cloudllm_core.testing import Notebook, ScriptedProvider, Show, VirtualLoop, rehearse, run_virtually, stage

T = TypeVar("T")
Tell = Callable[[Hub], Awaitable[Any]]


@attrs.frozen
class Story(Mode):
    """A mode that does what *tell* says; complete unless it says otherwise."""

    name: ClassVar[str] = "story"
    tell: Tell

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        told = await self.tell(hub)
        return told if isinstance(told, Outcome) else Outcome(complete=True)


@attrs.frozen
class InTurn(Mode):
    """Agents speak in turn, for some rounds."""

    name: ClassVar[str] = "in-turn"
    rounds: int = 1

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for _ in range(self.rounds):
            async with hub.round():
                for agent in hub.agents:
                    await hub.try_ask(agent, prompt)
        return Outcome(complete=hub.everyone_spoke)


@attrs.frozen
class Together(Mode):
    """Agents are asked at once, for some rounds."""

    name: ClassVar[str] = "together"
    rounds: int = 1

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for _ in range(self.rounds):
            async with hub.round(), hub.ask_all(hub.agents, prompt) as replies:
                async for _reply in replies:
                    pass
        return Outcome(complete=True)


def tell(story: Tell | Mode, script: Any = "Hello.", prompt: str = "Begin.", **options: Any) -> Show:
    """Run *story* once with scripted agents; a script that is no mapping is agent ada's."""
    mode = story if isinstance(story, Mode) else Story(story)
    cast = script if isinstance(script, dict) else {"ada": script}
    return asyncio.run(rehearse(mode, cast, prompt, **options))


def tell_virtually(story: Tell | Mode, script: Any = "Hello.", prompt: str = "Begin.", **options: Any) -> Show:
    """As `tell`, in virtual time, which `Hub.now` shows too."""
    mode = story if isinstance(story, Mode) else Story(story)
    notebook = Notebook()

    async def main(loop: VirtualLoop) -> Show:
        team = script if isinstance(script, dict) else {"ada": script}
        orchestration = stage(mode, team, sinks=[notebook], **options)
        run = orchestration.run(prompt, conditions=Conditions(clock=loop.wall))
        result = await run
        providers = {agent.name: agent.provider for agent in orchestration.agents}
        return Show(
            orchestration=orchestration,
            result=result,
            records=tuple(run.records),
            notebook=notebook,
            providers=providers,  # type: ignore[arg-type] # every agent here has a scripted one
        )

    return run_virtually(main)


async def ask_ada(hub: Hub) -> Reply:
    """The shortest story: one turn of ada's."""
    return await hub.ask("ada", "Begin.")


def replay(show: Show, orchestration: Orchestration | None = None) -> RunResult:
    """Re-enact the records of *show*."""
    return asyncio.run((orchestration or show.orchestration).replay(show.records))


def requests(show: Show, agent: str = "ada") -> list[Any]:
    """What *agent*'s model was asked."""
    return show.providers[agent].requests


def histories(show: Show, agent: str = "ada") -> list[list[tuple[str, str]]]:
    """The messages of each model call of *agent*, as role and text."""
    return [[(message.role, message.text) for message in request.messages] for request in requests(show, agent)]


def session_of(show: Show, agent: str = "ada") -> list[tuple[str, str]]:
    """What stands in *agent*'s session."""
    messages = next(one for one in show.orchestration.agents if one.name == agent).session.messages
    validate_history(messages)
    return [(message.role, message.text) for message in messages]


def results_of(show: Show, agent: str = "ada", call: int = 1) -> list[tuple[str, bool]]:
    """The tool results that *agent*'s model call number *call* (from 0) ends with: text and whether an error."""
    message = requests(show, agent)[call].messages[-1]
    return [(result.content, result.is_error) for result in message.tool_results]


class Waiting(ScriptedProvider):
    """A model that answers when it is told to, or after some seconds; each answer costs 5 tokens."""

    name: ClassVar[str] = "waiting"

    def __init__(self, text: str = "Done.", seconds: float | None = None) -> None:
        super().__init__(Completion(Message.assistant(text), usage=Usage(input=3, output=2)), repeat=True)
        self.seconds = seconds
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def complete(self, request: Request) -> Completion:
        completion = await super().complete(request)
        self.asked.set()
        await (self.go.wait() if self.seconds is None else asyncio.sleep(self.seconds))
        return completion


@contextmanager
def nothing_left() -> Any:
    """No task and no thread outlives the block."""
    threads = set(threading.enumerate())
    try:
        yield
    finally:
        gc.collect()
    left = {thread.name for thread in set(threading.enumerate()) - threads if thread.name != "cloudllm-portal"}
    assert set() == left


def alone(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *main* on a loop of its own, and check that no task is left when it has ended."""

    async def checked() -> T:
        result = await main()
        for _ in range(3):
            await asyncio.sleep(0)
        left = [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]
        assert [] == left
        return result

    return asyncio.run(checked())


def effects(records: tuple[Record, ...]) -> list[tuple[str, str]]:
    """Kind and outcome of each effect's end, in order."""
    return [
        (record.opened.body["name"], record.body["outcome"])
        for record in records
        if record.kind == "finished" and record.opened is not None
    ]
