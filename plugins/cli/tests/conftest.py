"""Small plugins of every kind that the commands need, so that nothing but the kernel has to be installed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_cli import demo, plugins, replay, run
from cloudllm_cli.main import main
from cloudllm_core import (
    Completion,
    EventSink,
    Hub,
    Journal,
    JournalText,
    Message,
    Mode,
    Outcome,
    Provider,
    Record,
    Registry,
    Request,
    Usage,
    hookimpl,
)
from cloudllm_core.errors import ConnectionFailed, JournalError


@attrs.define(eq=False)
class Parrot(Provider):
    """Says its model's name; ``down`` cannot be reached, ``still`` never answers."""

    name: ClassVar[str] = "parrot"
    voice: str = "I am"
    closes: bool = True

    async def complete(self, request: Request) -> Completion:
        if request.model == "down":
            raise ConnectionFailed("the connection was refused", self.name, request.model, hint="Is it on?")
        if request.model == "still":
            await asyncio.Event().wait()
        return Completion(Message.assistant(f"{self.voice} {request.model}."), "end", Usage(input=5, output=2), "m")

    async def aclose(self) -> None:
        if not self.closes:
            raise OSError("the door is stuck")


@attrs.frozen
class Once(Mode):
    """Every agent speaks once; complete if each does."""

    name: ClassVar[str] = "once"
    loudly: bool = False

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        async with hub.round():
            for agent in hub.agents:
                await hub.try_ask(agent, prompt)
        return Outcome(complete=hub.everyone_spoke)


class Paper(EventSink):
    """Prints what agents answer."""

    name = "console"

    def receive(self, record: Record) -> None:
        if type(record.event).__name__ == "LLMCallCompleted":
            print(f"paper: {record.event.text}")  # type: ignore[attr-defined]


class Leak(EventSink):
    """Takes nothing at all."""

    name = "leak"

    def receive(self, record: Record) -> None:
        raise ValueError("no ink")


@attrs.define(eq=False)
class Lines(Journal):
    """Lines in a file."""

    name = "jsonl"
    file: Any

    @classmethod
    def create(cls, target: str) -> Lines:
        try:
            return cls(Path(target).open("xb", buffering=0))
        except OSError as problem:
            raise JournalError(f"{target}: {problem.strerror}.") from problem

    @classmethod
    def read(cls, target: str) -> JournalText:
        try:
            *lines, rest = Path(target).read_bytes().split(b"\n")
        except OSError as problem:
            raise JournalError(f"{target}: {problem.strerror}.") from problem
        return JournalText(source=target, lines=tuple(lines), torn=f"{len(rest)} bytes set aside." if rest else None)

    def append(self, line: bytes, durable: bool) -> None:
        self.file.write(line)

    def close(self) -> None:
        self.file.close()


class Fakes:
    """A plugin that offers one thing of each kind."""

    __name__ = "fakes"

    @hookimpl
    def cloudllm_register_provider(self) -> type[Provider]:
        return Parrot

    @hookimpl
    def cloudllm_register_mode(self) -> type[Mode]:
        return Once

    @hookimpl
    def cloudllm_register_event_sink(self) -> type[EventSink]:
        return Paper

    @hookimpl
    def cloudllm_register_journal(self) -> type[Journal]:
        return Lines


class Leaky:
    """A plugin with a sink that fails."""

    __name__ = "leaky"

    @hookimpl
    def cloudllm_register_event_sink(self) -> type[EventSink]:
        return Leak


@pytest.fixture
def registry() -> Registry:
    """The four commands and the fakes."""
    return Registry.of(demo, plugins, replay, run, Fakes(), Leaky())


@attrs.frozen
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def cloudllm(capsys, registry):
    """Calls the command line with words, as a shell would."""

    def call(*words: object, registry: Registry = registry) -> Said:
        capsys.readouterr()
        status = main([str(word) for word in words], registry=registry)
        return Said(status, *capsys.readouterr())

    return call


@pytest.fixture
def team(tmp_path, monkeypatch):
    """Writes a team file into the working directory: a mode and one agent, unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def write(top: str = "", agents: str = '[[agents]]\nname = "ada"\nmodel = "parrot:ada"\n', name="team.toml") -> str:
        (tmp_path / name).write_text(f'mode = "once"\n{top}\n{agents}', "utf-8")
        return name

    return write


@pytest.fixture
def python():
    """The interpreter and its options for a process of its own."""
    return [sys.executable, "-W", "error", "-m", "cloudllm_cli"]
