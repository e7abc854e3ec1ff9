"""Functions become tools, are performed as models ask, and their results become text."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import functools
import gc
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core._contracts import Hub, ToolContext, ToolDefinition, ToolProtocol
from cloudllm_core._threads import in_thread
from cloudllm_core._tool import Functions, Prefixed, Tool, text_of, tool
from cloudllm_core.errors import SettingsError, ToolSchemaError

CONTEXT = ToolContext(agent="ada", run_id="run", call_id="call", key="run/ada/3", deadline=0.0)


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Point:
    x: int
    colour: Colour = Colour.RED


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: the first
        b: the second
    """
    return a + b


@tool(timeout=5, effect="read", needs=["network"], approve=True, concurrency=2, name="look-up", description="Look.")
async def search(query: str) -> list[str]:
    """Search the web."""
    await asyncio.sleep(0)
    return [query]


class Shelf:
    def __init__(self, books: Sequence[str]) -> None:
        self.books = list(books)

    @tool(effect="read")
    def find(self, word: str) -> list[str]:
        """Find a book."""
        return [book for book in self.books if word in book]

    @tool
    async def put(self, book: str) -> int:
        self.books.append(book)
        return len(self.books)

    @staticmethod
    @tool
    def rate(book: str) -> int:
        return len(book)

    def plain(self, word: str) -> str:
        return word


# -- what the decorator makes -------------------------------------------------


def test_a_tool_stays_the_function_it_was() -> None:
    """It is called as before and keeps name, docstring and what it wraps."""
    assert 3 == add(1, b=2)
    assert ["x"] == asyncio.run(search("x"))
    assert "add" == add.__name__
    assert "Add two numbers." == str(add.__doc__).splitlines()[0]
    assert add.fn is add.__wrapped__
    assert (False, True) == (add.is_async, search.is_async)


def test_a_bare_tool_writes_and_has_thirty_seconds() -> None:
    """Without options the safe answers hold."""
    expected = ToolDefinition(
        name="add",
        description="Add two numbers.",
        parameters={
            "type": "object",
            "properties": {
                "a": {"description": "the first", "type": "integer"},
                "b": {"description": "the second", "type": "integer", "default": 1},
            },
            "required": ["a"],
            "additionalProperties": False,
        },
        effect="write",
        timeout=30.0,
    )

    assert expected == add.definition


def test_options_arrive_in_the_definition() -> None:
    """Each option is what the kernel will go by."""
    made = search.definition

    assert ("look-up", "Look.", 5, "read") == (made.name, made.description, made.timeout, made.effect)
    assert (("network",), True, 2) == (made.needs, made.approve, made.concurrency)
    assert ("files",) == tool(needs="files")(Shelf([]).plain).definition.needs


def test_a_method_becomes_the_tool_of_its_object() -> None:
    """On an object the tool is bound: no `self` in the schema, the object's own state in the call."""
    shelf = Shelf(["ants", "bees"])

    assert ["ants"] == shelf.find("ant")
    assert ["bees"] == asyncio.run(shelf.find.perform({"word": "bee"}, CONTEXT))
    assert 3 == asyncio.run(shelf.put.perform({"book": "wasps"}, CONTEXT))
    assert 4 == asyncio.run(Shelf.rate.perform({"book": "ants"}, CONTEXT))
    assert ["word"] == list(shelf.find.definition.parameters["properties"])
    assert "find" == shelf.find.__name__
    assert isinstance(shelf.find, Tool)
    assert Shelf.find.needs_self
    assert not shelf.find.needs_self


def test_a_bound_method_becomes_a_tool() -> None:
    """`tool` takes methods of objects that know nothing of tools."""
    made = tool(Shelf([]).plain)

    assert "plain" == made.definition.name
    assert "x" == asyncio.run(made.perform({"word": "x"}, CONTEXT))


def _gives(items: str) -> Iterator[str]:
    yield items


async def _streams(items: str) -> AsyncIterator[str]:
    yield items


def _echo(text: str) -> str:
    return text


async def _lead(hub: Hub) -> None: ...


class _Callable:
    def __call__(self, text: str) -> str:
        return text


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: tool(timeout=0)(_echo), "its timeout is 0. Give seconds, more than 0."),
        (lambda: tool(timeout=float("nan"))(_echo), "its timeout is nan. Give seconds, more than 0."),
        (lambda: tool(timeout=True)(_echo), "its timeout is True. Give seconds, more than 0."),
        (lambda: tool(timeout="5")(_echo), "its timeout is '5'. Give seconds, more than 0."),
        (lambda: tool(effect="raed")(_echo), "its effect 'raed' is unknown. Did you mean 'read'?"),
        (lambda: tool(effect=3)(_echo), "its effect 3 is unknown. Use read, idempotent, write, composite."),
        (lambda: tool(effect="composite")(_echo),
         "a composite tool waits for the hub, and this function is not async. Write async def."),
        (lambda: tool(needs=["netwrok"])(_echo), "its need 'netwrok' is unknown. Did you mean 'network'?"),
        (lambda: tool(needs=["luck"])(_echo),
         "its need 'luck' is unknown. Use network, files, outside, processes, secrets."),
        (lambda: tool(concurrency=0)(_echo), "its concurrency is 0. Give a whole number from 1, or leave it out."),
        (lambda: tool(timout=3)(_echo), "@tool has no option 'timout'. Did you mean 'timeout'?"),
        (lambda: tool(colour="red")(_echo), ("@tool has no option 'colour'. It has name, description, timeout, effect, "
         "needs, untrusted, approve, concurrency.")),
    ],
)  # fmt: skip
def test_a_bad_option_is_told_as_a_sentence(make: Callable[[], Any], sentence: str) -> None:
    """The error names the tool, the option, and what would do."""
    with pytest.raises(ToolSchemaError) as caught:
        make()

    assert f"'_echo' cannot become a tool: {sentence}" == str(caught.value)


@pytest.mark.parametrize(
    ("fn", "sentence"),
    [
        (_gives, "'_gives' cannot become a tool: it yields, and a call has one result. Return a list instead."),
        (_streams, "'_streams' cannot become a tool: it yields, and a call has one result. Return a list instead."),
        (_lead, ("'_lead' cannot become a tool: only composite tools are given the hub. "
         "Write @tool(effect='composite').")),
        (lambda text: text, ("'<lambda>' cannot become a tool: models allow 64 letters, digits, _ and - in a name. "
         "Give it one with @tool(name=...).")),
        (len, ("'len' cannot become a tool: it is not a function. "
         "Put @tool directly above a def, or call tool() with a function.")),
        (add, ("'add' cannot become a tool: it is not a function. "
         "Put @tool directly above a def, or call tool() with a function.")),
    ],
)  # fmt: skip
def test_what_is_no_plain_function_is_refused(fn: Any, sentence: str) -> None:
    """Generators, lambdas, built-ins and tools themselves are named, with the remedy."""
    with pytest.raises(ToolSchemaError) as caught:
        tool(fn)

    assert sentence == str(caught.value)


def test_a_callable_object_is_refused() -> None:
    """An object with __call__ has no name that a model could use."""
    with pytest.raises(ToolSchemaError, match="it is not a function"):
        tool(_Callable())


# -- performing ---------------------------------------------------------------


def test_arguments_arrive_as_their_annotations_say() -> None:
    """Enums, sets and attrs classes are made from JSON before the function sees them."""

    def paint(point: Point, shades: set[Colour], sizes: tuple[int, ...] = ()) -> tuple[Any, ...]:
        return point, shades, sizes

    made = tool(paint)
    arguments = {"point": {"x": 3.0, "colour": "red"}, "shades": ["red", "red"], "sizes": [1, 2]}

    assert (Point(3), {Colour.RED}, (1, 2)) == asyncio.run(made.perform(arguments, CONTEXT))


def test_an_argument_that_does_not_fit_is_named() -> None:
    """The error is about the argument, and the function is not called."""
    with pytest.raises(SettingsError) as caught:
        asyncio.run(add.perform({"a": "one"}, CONTEXT))

    assert "a: found 'one', expected a whole number." == str(caught.value)


def test_context_and_hub_arrive_by_annotation() -> None:
    """They are hidden from models, and given whatever they are called."""

    @tool(effect="composite")
    async def lead(text: str, about: ToolContext, hub: Hub, maybe: ToolContext | None = None) -> tuple[Any, ...]:
        return text, about, hub, maybe

    hub: Any = object()
    context = attrs.evolve(CONTEXT, hub=hub)

    assert ["text"] == list(lead.definition.parameters["properties"])
    assert ("x", context, hub, context) == asyncio.run(lead.perform({"text": "x"}, context))


def test_what_a_function_raises_comes_out() -> None:
    """Errors are not wrapped, from a thread as little as from a coroutine."""

    @tool
    def broken(text: str) -> str:
        raise KeyError(text)

    @tool
    async def also_broken(text: str) -> str:
        raise KeyError(text)

    for made in (broken, also_broken):
        with pytest.raises(KeyError, match="x"):
            asyncio.run(made.perform({"text": "x"}, CONTEXT))


def test_a_sync_function_that_gives_an_awaitable_is_awaited() -> None:
    """A plain wrapper around an async function works like the function."""

    def wrapped(text: str) -> Any:
        return search(text)

    assert ["x"] == asyncio.run(tool(wrapped).perform({"text": "x"}, CONTEXT))


def test_a_decorated_function_keeps_its_own_parameters() -> None:
    """functools.wraps carries annotations and signature to the schema."""

    @functools.wraps(add.fn)
    def doubled(*args: Any, **kwargs: Any) -> int:
        return 2 * add(*args, **kwargs)

    made = tool(doubled)

    assert add.definition == made.definition
    assert 6 == asyncio.run(made.perform({"a": 1, "b": 2}, CONTEXT))


# -- threads ------------------------------------------------------------------


def test_a_sync_tool_does_not_block_the_loop() -> None:
    """While it waits, other tasks go on; here they are what it waits for."""
    gate, main = threading.Event(), threading.get_ident()

    @tool
    def wait() -> bool:
        assert threading.get_ident() != main
        return gate.wait(30)

    async def both() -> bool:
        waiting = asyncio.ensure_future(wait.perform({}, CONTEXT))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        return bool(await waiting)

    assert asyncio.run(both())


def test_context_variables_are_seen_in_the_thread_and_not_changed_by_it() -> None:
    """The thread works on a copy of the task's context."""
    word = contextvars.ContextVar("word", default="nothing")

    def speak() -> str:
        heard = word.get()
        word.set("from the thread")
        return heard

    async def ask() -> tuple[str, str]:
        word.set("from the task")
        return await in_thread(speak), word.get()

    assert ("from the task", "from the task") == asyncio.run(ask())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_a_cancelled_call_leaves_its_thread_and_hears_no_more(
    fails: bool, closed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Cancelling returns at once; a late result or error makes no noise, with the loop open or closed."""
    gate, over, noise = threading.Event(), threading.Event(), list[Any]()

    def late() -> int:
        started.set()
        gate.wait(30)
        over.set()
        if fails:
            raise OSError
        return 3

    started = threading.Event()
    before = set(threading.enumerate())

    async def cancel() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        task = asyncio.ensure_future(in_thread(late))
        while not started.is_set():  # noqa: ASYNC110  # set by a thread, which asyncio.Event does not allow
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not closed:
            finish()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def finish() -> None:
        gate.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(30)

    asyncio.run(cancel())
    finish()
    gc.collect()

    assert over.is_set()
    assert [] == noise
    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize("raised", [StopIteration(3), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_would_end_more_than_a_call_becomes_an_error(raised: BaseException) -> None:
    """sys.exit() in a tool ends neither the loop nor the wait, and nobody mistakes it for a cancellation."""

    def leave() -> None:
        raise raised

    with pytest.raises(RuntimeError) as caught:
        asyncio.run(in_thread(leave))

    assert f"it raised {raised!r}, which ends a thread and not a call" == str(caught.value)
    assert raised is caught.value.__cause__


def test_a_thread_that_hangs_does_not_keep_the_program() -> None:
    """The interpreter ends though a tool never will."""
    program = (
        "import asyncio, threading\n"
        "from cloudllm_core._threads import in_thread\n"
        "async def main():\n"
        "    asyncio.ensure_future(in_thread(threading.Event().wait))\n"
        "    await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n"
        "print('ended')\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert ("ended\n", "", 0) == (done.stdout, done.stderr, done.returncode)


# -- protocols ----------------------------------------------------------------


class Dice(ToolProtocol):
    name: ClassVar[str] = "dice"
    closed = False

    def tools(self) -> list[ToolDefinition]:
        return [ToolDefinition(name="roll", description="Roll.", parameters={"type": "object"})]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        return tool, dict(arguments), context.agent

    async def aclose(self) -> None:
        self.closed = True


def test_functions_are_one_protocol() -> None:
    """Tools and plain functions stand side by side, and calls reach them by name."""
    functions = Functions([add, _echo, Shelf(["ants"]).find], name="ada's functions")

    assert "ada's functions" == functions.name
    assert ["add", "_echo", "find"] == [one.name for one in functions.tools()]
    assert 4 == asyncio.run(functions.call("add", {"a": 3}, CONTEXT))
    assert "x" == asyncio.run(functions.call("_echo", {"text": "x"}, CONTEXT))


@pytest.mark.parametrize(
    ("functions", "sentence"),
    [
        ([add, add], ("'add' cannot become a tool: functions has another tool of this name. "
         "Rename one with @tool(name=...).")),
        ([Shelf.find], "'find' cannot become a tool: it is a method without its object. Offer it as thing.find."),
    ],
)  # fmt: skip
def test_functions_that_could_not_be_called_are_refused(functions: Any, sentence: str) -> None:
    """Doubled names and methods without their object are found when the protocol is made."""
    with pytest.raises(ToolSchemaError) as caught:
        Functions(functions)

    assert sentence == str(caught.value)


def test_a_tool_that_is_not_there_is_told() -> None:
    """The error names the tool, the protocol, and the near miss or the prefix."""
    with pytest.raises(LookupError) as caught:
        asyncio.run(Functions([add]).call("ad", {}, CONTEXT))
    assert "There is no tool 'ad' in functions. Did you mean 'add'?" == str(caught.value)

    with pytest.raises(LookupError) as caught:
        asyncio.run(Prefixed(Dice(), prefix="x_").call("roll", {}, CONTEXT))
    assert "There is no tool 'roll' in x_dice: its tools begin with 'x_'." == str(caught.value)


def test_a_prefix_changes_names_and_nothing_else() -> None:
    """The inner protocol gets its own names, and is closed with its wrapper."""
    dice = Dice()
    prefixed = Prefixed(dice, prefix="x_")

    assert [attrs.evolve(dice.tools()[0], name="x_roll")] == prefixed.tools()
    assert ("roll", {"n": 2}, "ada") == asyncio.run(prefixed.call("x_roll", {"n": 2}, CONTEXT))
    asyncio.run(prefixed.aclose())
    assert dice.closed


# -- results as text ----------------------------------------------------------


class Rude:
    def __str__(self) -> str:
        raise OSError


class Shade(str, enum.Enum):
    DARK = "dark"


def _ring() -> list[Any]:
    ring: list[Any] = [1]
    ring.append(ring)
    return ring


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (bytearray(b"x"), "x"),
        (b"\x00\x01\x02", "<3 bytes that are not text>"),
        (3, "3"),
        (True, "true"),
        (0.5, "0.5"),
        ([1, "é", None], '[1,"é",null]'),
        ({"a": (1, 2)}, '{"a":[1,2]}'),
        ({"a", "b"}, '["a","b"]'),
        (Point(1), '{"x":1,"colour":"red"}'),
        ([Point(1)], '[{"x":1,"colour":"red"}]'),
        (Shade.DARK, "dark"),
        (Colour.RED, "red"),
        (float("nan"), "nan"),
        ({"x": float("inf")}, "{'x': inf}"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (_ring(), "[1, [...]]"),
        (_deep(), "<list that cannot be shown: RecursionError>"),
        (Rude(), "<Rude that cannot be shown: OSError>"),
        (Dice(), "<Dice>"),
        (_gives("x"), "<generator _gives>"),
        (add.fn, "<function add>"),
        (date(2024, 1, 2), "2024-01-02"),
        ({"price": Decimal("1.5"), "at": Path("/a/b")}, '{"price":"1.5","at":"/a/b"}'),
        ("a\ud800b", "a\ufffdb"),
        (["\udc00"], '["\ufffd"]'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_result_has_a_text(result: Any, text: str) -> None:
    """Text stays, JSON is compact, the rest is described; nothing is cut that need not be."""
    assert (text, 0) == text_of(result)


def test_a_forgotten_coroutine_is_described_and_closed(recwarn: pytest.WarningsRecorder) -> None:
    """A tool that forgot its await says so to the model, and Python has nothing to complain about."""
    assert ("<coroutine search>", 0) == text_of(search("x"))
    assert ('["<coroutine search>"]', 0) == text_of([search("x")])
    gc.collect()
    assert [] == [str(warning.message) for warning in recwarn]


def test_a_long_result_is_cut_and_says_so() -> None:
    """What is beyond the cap is counted, for the reader in the text and for the caller beside it."""
    assert ("abc\n[2 more characters were cut]", 2) == text_of("abcde", cap=3)
    assert ("abc", 0) == text_of("abc", cap=3)
    assert 5 == text_of("x" * 100_005)[1]


class _Hostile:
    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)

    __repr__ = None  # type: ignore[assignment]


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]))
    | st.binary()
    | st.complex_numbers()
    | st.builds(object)
    | st.builds(_Hostile)
    | st.builds(Rude)
    | st.sampled_from([Colour.RED, Point(1), Ellipsis, len, Dice])
    | st.builds(_ring)
    | st.builds(_deep)
    | st.builds(lambda: _gives("x"))
    | st.builds(lambda: search("x"))
)


@given(
    st.recursive(
        _LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text() | st.integers() | st.floats() | st.tuples(st.integers()), inner, max_size=4)
            | st.builds(Point, inner)
        ),
        max_leaves=8,
    ),
    st.integers(0, 50),
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # those in a container that JSON refuses
def test_text_of_never_raises(result: Any, cap: int) -> None:
    """Whatever a tool gives back becomes text that can be encoded, within its cap and a notice."""
    text, cut = text_of(result, cap)

    text.encode()
    assert len(text) <= cap + (len(f"\n[{cut} more characters were cut]") if cut else 0)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c, max_size=4), max_leaves=9)
)
def test_json_goes_through_text_unchanged(value: Any) -> None:
    """JSON that is not a text of its own, or nothing, is the same when the model's side reads it."""
    text, _ = text_of([value])

    assert [value] == json.loads(text)
