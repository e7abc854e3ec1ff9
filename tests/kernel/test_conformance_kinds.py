"""The conformance kit finds providers, tools, strategies, sinks, journals and commands that break their promises."""

from __future__ import annotations

import asyncio
import contextlib
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import attrs
import pytest

from cloudllm_core import (
    Command,
    Completion,
    ContextStrategy,
    ContextView,
    Cut,
    EventSink,
    Journal,
    JournalText,
    Message,
    Provider,
    Record,
    Request,
    ToolContext,
    ToolDefinition,
    ToolProtocol,
    events,
)
from cloudllm_core.errors import BadRequest, JournalError
from cloudllm_core.testing.conformance import (
    CommandContract,
    ContextStrategyContract,
    EventSinkContract,
    JournalContract,
    ProviderContract,
    ToolProtocolContract,
)

FOUND = (AssertionError, pytest.fail.Exception)


def finds(contract: Any, claim: str, *given: Any) -> bool:
    """Whether *claim* fails."""
    try:
        getattr(contract, claim)(*given)
    except FOUND:
        return True
    return False


# -- providers ----------------------------------------------------------------


class Good(Provider):
    """Repeats what it is told."""

    name: ClassVar[str] = "good"

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return Completion(Message.assistant(f"You say: {request.messages[-1].text}"))

    async def stream(self, request: Request, emit: Any) -> Completion:
        completion = await self.complete(request)
        emit("content", completion.message.text)
        return completion


class Silent(Good):
    """Streams nothing."""

    async def stream(self, request: Request, emit: Any) -> Completion:
        return await self.complete(request)


class Stuttering(Good):
    """Streams another answer than it completes."""

    async def stream(self, request: Request, emit: Any) -> Completion:
        return Completion(Message.assistant("You you you say"))


class Leaking(Good):
    """Leaves a task behind when it is cancelled."""

    tasks: ClassVar[set[Any]] = set()

    async def complete(self, request: Request) -> Completion:
        self.tasks.add(asyncio.ensure_future(asyncio.sleep(0.2)))
        return await super().complete(request)


class Deaf(Good):
    """Answers though it was cancelled."""

    async def complete(self, request: Request) -> Completion:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return Completion(Message.assistant("So what?"))


class Mixed(Good):
    """Keeps the request where the next call overwrites it."""

    def __init__(self) -> None:
        self.text = ""

    async def complete(self, request: Request) -> Completion:
        self.text = request.messages[-1].text
        await asyncio.sleep(0)
        return Completion(Message.assistant(self.text))


class Once(Good):
    """Cannot be used again once it is closed."""

    closed = False

    async def complete(self, request: Request) -> Completion:
        if self.closed:
            raise BadRequest("closed", self.name)
        return await super().complete(request)

    async def aclose(self) -> None:
        self.closed = True


class Settled(Good):
    """Belongs to the loop it was first used on."""

    def __init__(self) -> None:
        self.loop: Any = None

    async def complete(self, request: Request) -> Completion:
        self.loop = self.loop or asyncio.get_running_loop()
        assert self.loop is asyncio.get_running_loop()
        return await super().complete(request)


class Fussy(Good):
    """Lets whatever goes wrong out as it is."""

    async def complete(self, request: Request) -> Completion:
        if "\ud800" in "".join(message.text for message in request.messages):
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return await super().complete(request)


PROVIDERS: list[tuple[type[Good], str]] = [
    (Silent, "test_pieces_join_to_the_text"),
    (Stuttering, "test_streams_what_it_completes"),
    (Leaking, "test_passes_cancellation_on"),
    (Deaf, "test_passes_cancellation_on"),
    (Mixed, "test_calls_at_once_do_not_mix"),
    (Settled, "test_serves_one_loop_after_another"),
    (Fussy, "test_takes_any_history"),
]


@pytest.mark.parametrize(("broken", "claim"), PROVIDERS)
def test_providers(broken, claim):
    """The claim fails for the provider that breaks it, and holds for one that does not."""
    assert finds(ProviderContract(), claim, broken())
    assert not finds(ProviderContract(), claim, Good())


def test_providers_that_cannot_be_used_again():
    """A closed provider that refuses the next call breaks its promise."""
    with pytest.raises(BadRequest):
        ProviderContract().test_can_be_closed_and_used_again(Once())
    ProviderContract().test_can_be_closed_and_used_again(Good())


def test_providers_that_do_not_fail():
    """A provider that should fail and answers is found."""
    assert finds(ProviderContract(), "test_lets_only_provider_errors_out", [Good()])


# -- tools --------------------------------------------------------------------


def a_tool(**changes: Any) -> ToolDefinition:
    part = {"type": "string", "description": "at what"}
    schema = {"type": "object", "properties": {"at": part}, "required": ["at"]}
    return ToolDefinition(**{"name": "look", "description": "Look.", "parameters": schema, "effect": "read", **changes})


class Tools(ToolProtocol):
    """One tool, or as many as are given."""

    name: ClassVar[str] = "tools"

    def __init__(self, *definitions: ToolDefinition, call: Callable[[dict[str, Any]], Any] = str) -> None:
        self.definitions, self.do = definitions or (a_tool(),), call

    def tools(self) -> list[ToolDefinition]:
        return list(self.definitions)

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        assert tool in {definition.name for definition in self.definitions}, "There is no such tool."
        await asyncio.sleep(0)
        return self.do(arguments)


class Accepting(Tools):
    """Takes any call."""

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        return "fine"


class Unstoppable(Tools):
    """Goes on though it was cancelled."""

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return "done all the same"


class Looking(ToolProtocolContract):
    calls = (("look", {"at": "the sea"}),)


def wordless(arguments: Any) -> Any:
    raise OSError


NO_WORDS: Mapping[str, Any] = {"type": "object", "properties": {"at": {"type": "string"}}}


@pytest.mark.parametrize(
    ("broken", "claim", "given"),
    [
        (Tools(a_tool(), a_tool()), "test_names_are_unique_and_plain", ()),
        (Tools(a_tool(name="look at")), "test_names_are_unique_and_plain", ()),
        (Tools(a_tool(description=" ")), "test_tools_are_described", ()),
        (Tools(a_tool(parameters=NO_WORDS)), "test_tools_are_described", ()),
        (Tools(a_tool(parameters={"type": "string"})), "test_schemas_are_objects", ()),
        (Tools(a_tool(effect="none")), "test_says_what_calls_do", ()),
        (Accepting(), "test_refuses_unknown_tools", ()),
        (Tools(call=lambda arguments: arguments.clear()), "test_calls_work_and_leave_arguments_alone", ()),
        (Tools(call=lambda arguments: arguments.clear()), "test_reading_takes_any_arguments", (1,)),
        (Tools(call=wordless), "test_reading_takes_any_arguments", (1,)),
        (Unstoppable(), "test_passes_cancellation_on", ()),
    ],
)
def test_tool_protocols(broken, claim, given):
    """The claim fails for the protocol that breaks it, and holds for one that does not."""
    assert finds(Looking(), claim, broken, *given)
    assert not finds(Looking(), claim, Tools(), *given)


# -- strategies ---------------------------------------------------------------


class Choosing(ContextStrategy):
    """Chooses by a function."""

    name: ClassVar[str] = "choosing"

    def __init__(self, choose: Callable[[ContextView], Cut | None]) -> None:
        self._choose = choose

    def choose(self, view: ContextView) -> Cut | None:
        return self._choose(view)


def oldest(view: ContextView) -> Cut | None:
    return next((cut for cut in view.cuts if cut.tokens_after < view.tokens and view.load > 0.8), None)


def turn_taker() -> Callable[[ContextView], Cut | None]:
    asked: list[int] = []

    def choose(view: ContextView) -> Cut | None:
        asked.append(1)
        return oldest(view) if len(asked) % 2 else None

    return choose


INVENTED = Cut(index=1, turns_kept=1, tokens_after=1)


@pytest.mark.parametrize(
    ("broken", "claim"),
    [
        (lambda: lambda view: INVENTED, "test_chooses_what_is_offered"),
        (lambda: lambda view: INVENTED, "test_leaves_alone_what_cannot_be_cut"),
        (lambda: lambda view: INVENTED, "test_settles"),
        (
            lambda: lambda view: max(view.cuts, key=lambda cut: cut.tokens_after, default=None),
            "test_chooses_what_is_offered",
        ),
        (turn_taker, "test_is_a_pure_function"),
        (lambda: lambda view: INVENTED, "test_histories_stay_legal_and_keep_the_task"),
    ],
)
def test_context_strategies(broken, claim):
    """The claim fails for the strategy that breaks it, and holds for one that does not."""
    seeds: list[tuple[int, ...]] = (
        [()] if claim == "test_leaves_alone_what_cannot_be_cut" else [(n,) for n in range(20)]
    )

    assert any(finds(ContextStrategyContract(), claim, Choosing(broken()), *seed) for seed in seeds)
    assert not any(finds(ContextStrategyContract(), claim, Choosing(oldest), *seed) for seed in seeds)


# -- sinks --------------------------------------------------------------------


@attrs.define(eq=False)
class Sink(EventSink):
    """Does something with each record."""

    name: ClassVar[str] = "sink"
    do: Callable[[Record], Any] = repr

    def receive(self, record: Record) -> None:
        self.do(record)


def only_known(record: Record) -> None:
    assert hasattr(events, type(record.event).__name__), "never heard of it"


def rename(record: Record) -> None:
    record.text = "mine"


def only_short(record: Record) -> None:
    assert len(record.text) < 100_000, "too long"


def only_utf8(record: Record) -> None:
    try:
        str(record.event).encode()
        "".join(map(str, record.event.to_json().values())).encode()
    except UnicodeEncodeError as problem:
        raise AssertionError from problem


@pytest.mark.parametrize(
    ("broken", "claim", "given"),
    [
        (only_known, "test_takes_events_it_has_never_heard_of", ()),
        (rename, "test_leaves_records_alone", ()),
        (only_short, "test_takes_huge_text", ()),
        (only_utf8, "test_takes_every_event", ("SendStarted",)),
        (only_known, "test_misses_nothing_of_a_run", ()),
    ],
)
def test_event_sinks(broken, claim, given):
    """The claim fails for the sink that breaks it, and holds for one that does not."""
    if claim == "test_misses_nothing_of_a_run":
        broken = wordless
    assert finds(EventSinkContract(), claim, Sink(broken), *given)
    assert not finds(EventSinkContract(), claim, Sink(), *given)


# -- journals and commands ----------------------------------------------------


class Lines(Journal):
    """Keeps lines in a file."""

    name: ClassVar[str] = "lines"

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, target: str) -> Self:
        try:
            Path(target).open("xb").close()
        except FileExistsError as problem:
            raise JournalError(f"{target} is there already.") from problem
        return cls(Path(target))

    @classmethod
    def read(cls, target: str) -> JournalText:
        if not Path(target).exists():
            raise JournalError(f"{target} is not there.")
        *lines, rest = Path(target).read_bytes().split(b"\n")
        return JournalText(source=target, lines=tuple(lines), torn="a piece of a line" if rest else None)

    def append(self, line: bytes, durable: bool) -> None:
        with self.path.open("ab") as file:
            file.write(line)


class Overwriting(Lines):
    """Takes a place that is taken."""

    @classmethod
    def create(cls, target: str) -> Self:
        Path(target).write_bytes(b"")
        return cls(Path(target))


class Splitting(Lines):
    """Takes other characters for line breaks."""

    @classmethod
    def read(cls, target: str) -> JournalText:
        text = super().read(target)
        lines = [piece.encode() for line in text.lines for piece in line.decode().splitlines()]
        return JournalText(source=target, lines=tuple(lines), torn=text.torn)


class Believing(Lines):
    """Takes an unfinished line for a whole one."""

    @classmethod
    def read(cls, target: str) -> JournalText:
        return JournalText(source=target, lines=tuple(super().read(target).lines) + tuple(
            piece for piece in Path(target).read_bytes().split(b"\n")[-1:] if piece
        ))  # fmt: skip


class Late(Lines):
    """Writes when it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.waiting: list[bytes] = []

    def append(self, line: bytes, durable: bool) -> None:
        self.waiting.append(line)

    def close(self) -> None:
        self.path.write_bytes(b"".join(self.waiting))


@pytest.mark.parametrize(
    ("broken", "claim"),
    [
        (Overwriting, "test_never_overwrites"),
        (Splitting, "test_reads_what_was_appended"),
        (Believing, "test_sets_an_unfinished_line_aside"),
        (Late, "test_can_be_read_while_it_is_written"),
    ],
)
def test_journals(broken, claim, tmp_path):
    """The claim fails for the journal that breaks it, and holds for one that does not."""
    assert finds(JournalContract(), claim, broken, str(tmp_path / "broken"))
    assert not finds(JournalContract(), claim, Lines, str(tmp_path / "sound"))


class Greet(Command):
    """Greets."""

    name: ClassVar[str] = "greet"
    help: ClassVar[str] = "say hello"

    def configure(self, parser: ArgumentParser) -> None:
        parser.add_argument("whom", help="whom to greet")

    def run(self, arguments: Namespace) -> int:
        return 0


class Mute(Greet):
    """Explains nothing, and takes what is not its own."""

    name: ClassVar[str] = "Mute!"
    help: ClassVar[str] = "say\nhello"

    def configure(self, parser: ArgumentParser) -> None:
        parser.add_argument("--debug")


@pytest.mark.parametrize(
    "claim",
    [
        "test_has_a_name",
        "test_says_in_one_line_what_it_does",
        "test_describes_its_arguments",
        "test_leaves_what_is_shared_alone",
    ],
)
def test_commands(claim):
    """The claim fails for the command that breaks it, and holds for one that does not."""
    assert finds(CommandContract(), claim, Mute())
    assert not finds(CommandContract(), claim, Greet())
