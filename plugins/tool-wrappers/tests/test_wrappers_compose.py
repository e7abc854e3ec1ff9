"""Wrappers around wrappers: in any order, what goes in comes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Agent, Functions, Prefixed, ToolProtocol, default_registry
from cloudllm_core.errors import SettingsError
from cloudllm_core.testing import ScriptedProvider
from cloudllm_tool_wrappers import Approved, Cached, Decided, DryRun, Only, RateLimit

Wrap = Callable[[Any], ToolProtocol]

TRANSPARENT: list[Wrap] = [
    Approved,
    Cached,
    lambda inner: Decided(inner, lambda *_: True),
    lambda inner: Only(inner, [one.name for one in inner.tools()]),
    lambda inner: RateLimit(inner, 1_000, 60),
    lambda inner: Prefixed(inner, "w-"),
]
NAMES = "look, weigh, mark, build, lead"
DECIDED = TRANSPARENT[2]


def sound(stack: list[Wrap]) -> bool:
    """Whether no cache is around a decision, which is refused."""
    return DECIDED not in stack or Cached not in stack[stack.index(DECIDED) :]


STACKS = st.lists(st.sampled_from(TRANSPARENT), max_size=6).filter(sound)
CALLS = st.lists(
    st.tuples(st.sampled_from(["look", "weigh", "mark", "build", "none"]), st.sampled_from(["oak", "elm", "broken"])),
    max_size=6,
)


def stacked(inner: ToolProtocol, stack: list[Wrap]) -> ToolProtocol:
    for wrap in stack:
        inner = wrap(inner)
    return inner


async def outcome(protocol: ToolProtocol, tool: str, word: str, context: Any) -> Any:
    """A result, or an error as text; without the number of the call, which a cached result has kept."""
    try:
        result = await protocol.call(tool, {"word": word}, context())
    except Exception as problem:  # noqa: BLE001 -- it is compared
        return f"{type(problem).__name__}: {problem}"
    return {**result, "nth": 0}


@given(STACKS, CALLS)
def test_what_goes_in_comes_out(workshop: Any, context: Any, stack: list[Wrap], calls: list[tuple[str, str]]) -> None:
    """Results and errors are the inner's own, and each call reaches it at most once; only reads may be saved."""
    inner, bare = workshop(), workshop()
    protocol = stacked(inner, stack)
    prefix = "".join(one.prefix for one in chain_of(protocol) if isinstance(one, Prefixed))

    async def main() -> None:
        for tool, word in calls:
            before = len(inner.calls)
            given = await outcome(protocol, prefix + tool, word, context)
            reached = inner.calls[before:]

            if tool == "none":
                assert "LookupError" in given
                continue
            assert await outcome(bare, tool, word, context) == given
            assert reached in ([(tool, {"word": word})], [])
            assert reached or (tool in ("look", "weigh") and word != "broken")

    asyncio.run(main())


@pytest.mark.parametrize("between", [lambda inner: inner, Approved, lambda inner: Prefixed(inner, "w-")])
def test_no_cache_answers_for_a_decision(workshop: Any, between: Wrap) -> None:
    """A result that was allowed to one agent would be given to another unasked, whatever stands between."""
    decided = between(Decided(workshop(), lambda *_: True))
    with pytest.raises(SettingsError) as refused:
        Cached(decided)

    assert (
        "inner: found decided-workshop, expected tools that nobody decides about call by call. Put the cache inside: "
        "Decided(Cached(...), decide)." == str(refused.value)
    )


@given(STACKS)
def test_definitions_stay_what_they_are(workshop: Any, stack: list[Wrap]) -> None:
    """Effect, needs, distrust, time, concurrency, words and schema pass through; only names and approval change."""
    inner = workshop()
    protocol = stacked(inner, stack)
    prefix = "".join(one.prefix for one in chain_of(protocol) if isinstance(one, Prefixed))
    approve = any(isinstance(one, Approved) for one in chain_of(protocol))

    expected = [attrs.evolve(one, name=prefix + one.name, approve=approve) for one in inner.tools()]
    assert expected == list(protocol.tools())


@given(st.lists(st.sampled_from([*TRANSPARENT, DryRun]), max_size=6).filter(sound))
def test_closing_closes_once(workshop: Any, stack: list[Wrap]) -> None:
    """Closing the outermost closes the innermost, once."""
    inner = workshop()

    asyncio.run(stacked(inner, stack).aclose())

    assert 1 == inner.closed


@given(STACKS, st.integers(0, 6), CALLS)
def test_a_dry_run_anywhere_changes_nothing(
    workshop: Any, context: Any, stack: list[Wrap], place: int, calls: list[tuple[str, str]]
) -> None:
    """Whatever is around or inside of it, no call that would change something arrives."""
    inner = workshop()
    protocol = stacked(inner, [*stack[:place], DryRun, *stack[place:]])
    prefix = "".join(one.prefix for one in chain_of(protocol) if isinstance(one, Prefixed))

    async def main() -> None:
        for tool, word in [*calls, ("build", "oak"), ("lead", "elm")]:
            await protocol_call(protocol, prefix + tool, word, context)

    asyncio.run(main())
    assert [] == inner.reached("mark", "build", "lead", "none")


async def protocol_call(protocol: ToolProtocol, tool: str, word: str, context: Any) -> None:
    with contextlib.suppress(ValueError, LookupError):  # what the inner says of broken words and unknown tools
        await protocol.call(tool, {"word": word}, context())


def chain_of(protocol: ToolProtocol) -> list[ToolProtocol]:
    """*protocol* and what it is wrapped around, from the outside in."""
    chain = [protocol]
    while (inner := getattr(chain[-1], "inner", None)) is not None:
        chain.append(inner)
    return chain


def test_team_files_nest_them() -> None:
    """A table may hold a table: each wrapper is found by name, its inner by a name or a table of its own."""
    spec = {
        "name": "cached",
        "seconds": 60,
        "size": 10,
        "inner": {
            "name": "rate-limited",
            "calls": 5,
            "seconds": 1,
            "inner": {
                "name": "approved",
                "tools": ["old_memory_put"],
                "inner": {
                    "name": "prefixed",
                    "prefix": "old_",
                    "inner": {
                        "name": "dry-run",
                        "inner": {"name": "only", "tools": ["memory_get", "memory_put"], "inner": "memory"},
                    },
                },
            },
        },
    }
    registry = default_registry()
    if "memory" not in registry.names("tool_protocol"):
        pytest.skip("this plugin is tested alone, and the table names the memory tools")

    ada = Agent("ada", ScriptedProvider("Yes."), tools=[spec])

    assert ("old_memory_get", "old_memory_put") == ada.list_tools()
    assert [False, True] == [one.approve for one in ada.toolbox.definitions]
    assert ["cached-rate-limited-approved-old_dry-run-only-memory"] == list(ada.toolbox.protocols)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"name": "decided", "inner": {"name": "dry-run", "inner": 5}, "decide": "yes"},
            "tools[0].inner.inner: found 5, expected a name, a table with a 'name', or an instance of ToolProtocol.",
        ),
        ({"name": "cached"}, "tools[0]: found no 'inner', expected 'inner', which 'cached' needs."),
    ],
)
def test_wrong_tables_are_told_where_they_are_wrong(spec: Any, says: str) -> None:
    """An error names the place in the file."""
    with pytest.raises(SettingsError) as refused:
        Agent("ada", ScriptedProvider(), tools=[spec])
    assert says == str(refused.value)


@pytest.mark.parametrize(
    ("wrap", "says"),
    [
        (
            lambda inner: Approved(inner, ["biuld"]),
            f"tools: found 'biuld', expected names of workshop's tools ({NAMES}). Did you mean 'build'?",
        ),
        (
            lambda inner: Only(inner, "look"),
            "tools: found 'look', expected a list of names. Write tools=['look'].",
        ),
        (lambda inner: Only(inner, []), "tools: found no name, expected names of workshop's tools."),
        (
            lambda inner: Decided(inner, "yes"),
            "decide: found 'yes', expected a function. A team file cannot hold one; wrap the tools in Python.",
        ),
        (lambda inner: Decided(inner, print, seconds=0), "seconds: found 0, expected a time, more than 0."),
        (lambda inner: Cached(inner, size=0), "size: found 0, expected a whole number from 1."),
        (lambda inner: Cached(inner, seconds=float("inf")), "seconds: found inf, expected a time, more than 0."),
        (lambda inner: RateLimit(inner, 0, 1), "calls: found 0, expected a whole number from 1."),
        (lambda inner: RateLimit(inner, 1, -1), "seconds: found -1, expected a time, more than 0."),
    ],
)
def test_wrong_settings_are_told(workshop: Any, wrap: Any, says: str) -> None:
    """A slip in a name or number is an error, not a tool left unguarded."""
    with pytest.raises(SettingsError) as refused:
        wrap(workshop())
    assert says == str(refused.value)


def test_functions_can_be_wrapped() -> None:
    """Plain functions, as one protocol."""

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    assert ["add"] == [one.name for one in Cached(Functions([add])).tools()]
    assert "<cached-functions>" == repr(Cached(Functions([add])))
