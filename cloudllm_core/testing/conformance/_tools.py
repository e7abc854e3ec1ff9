"""The contract of tool protocols."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from ..._contracts import Effect, ToolContext, ToolProtocol
from ..._schema import check
from ..._tool import text_of
from ..._toolbox import OUTPUT_CAP, Toolbox
from ._chance import arguments_for, dice_of

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What every provider accepts as the name of a tool."""

NEEDS = frozenset({"files", "network", "outside", "processes", "secrets"})


class ToolProtocolContract:
    """
    What every tool protocol promises. Subclass it and write the fixture ``protocol``.

    Tools that only read are called with arguments drawn from their schemas; so let the fixture give
    them something harmless to look at. Other tools are called as `calls` says.
    """

    calls: ClassVar[Sequence[tuple[str, Mapping[str, Any]]]] = ()
    """Calls that work: the tool, and its arguments."""

    words: ClassVar[Sequence[str]] = ()
    """Words that mean something to these tools, such as a file's name."""

    steps: ClassVar[int] = 20
    """At how many moments of a call the claims cancel it."""

    @pytest.fixture
    def protocol(self) -> ToolProtocol:
        """The protocol under test."""
        raise NotImplementedError("Write a fixture `protocol` that returns an instance of your tool protocol.")

    def test_has_a_name(self, protocol: ToolProtocol) -> None:
        """Its name is a plain lower-case word."""
        assert re.fullmatch(r"[a-z][a-z0-9-]*", protocol.name)

    def test_names_are_unique_and_plain(self, protocol: ToolProtocol) -> None:
        """Every provider accepts the names, and a model can tell them apart."""
        names = [tool.name for tool in protocol.tools()]

        assert names
        assert [] == [name for name in names if not NAME.fullmatch(name)]
        assert len(names) == len(set(names))

    def test_tools_are_described(self, protocol: ToolProtocol) -> None:
        """A model reads of each tool what it does, and of each argument what it is."""
        for tool in protocol.tools():
            assert tool.description.strip(), tool.name
            for name, part in tool.parameters.get("properties", {}).items():
                assert part.get("description", "").strip(), f"{tool.name}: {name}"

    def test_schemas_are_objects(self, protocol: ToolProtocol) -> None:
        """Parameters are JSON Schema of an object, plain data, and name what they require."""
        for tool in protocol.tools():
            schema = tool.parameters
            assert schema == json.loads(json.dumps(schema))
            assert "object" == schema["type"]
            assert set(schema.get("required", ())) <= set(schema.get("properties", {}))

    def test_says_what_calls_do(self, protocol: ToolProtocol) -> None:
        """Effect, time, needs and concurrency are values that the kernel can act by."""
        for tool in protocol.tools():
            assert tool.effect in typing.get_args(Effect)
            assert tool.timeout > 0
            assert set(tool.needs) <= NEEDS
            assert tool.concurrency is None or tool.concurrency >= 1

    def test_asks_the_same_twice(self, protocol: ToolProtocol) -> None:
        """Asked again, it offers the same tools, and a toolbox takes them."""
        assert list(protocol.tools()) == list(protocol.tools())
        assert [tool.name for tool in protocol.tools()] == list(Toolbox.of([protocol]).offers)

    def test_refuses_unknown_tools(self, protocol: ToolProtocol) -> None:
        """A call of a tool that is not there raises, with a message."""
        with pytest.raises(Exception) as refused:  # noqa: PT011 -- which one is the protocol's choice
            asyncio.run(self._call(protocol, "no_such_tool", {}))
        assert str(refused.value)

    def test_calls_work_and_leave_arguments_alone(self, protocol: ToolProtocol) -> None:
        """The calls that are to work do; what they give can be told to a model; arguments stay as they were."""
        for tool, arguments in self.calls:
            assert tool in Toolbox.of([protocol]).offers
            given = copy.deepcopy(dict(arguments))
            told = text_of(asyncio.run(self._call(protocol, tool, given)), OUTPUT_CAP)[0]

            assert isinstance(told, str)
            assert dict(arguments) == given

    @pytest.mark.parametrize("seed", range(20))
    def test_reading_takes_any_arguments(self, protocol: ToolProtocol, seed: int) -> None:
        """A tool that reads answers, or raises with a message, whatever it is asked; arguments stay as they were."""
        dice = dice_of(f"arguments {seed}")
        for tool in protocol.tools():
            if tool.effect != "read":
                continue
            arguments = arguments_for(tool.parameters, dice, *self.words)
            given = copy.deepcopy(arguments)
            if check(tool.parameters, given):
                continue  # the kernel would not let it through
            told = asyncio.run(self._told(protocol, tool.name, given))
            assert told is not None, f"{tool.name}({arguments}) raised something without a word"
            assert arguments == given

    def test_passes_cancellation_on(self, protocol: ToolProtocol) -> None:
        """A call that is cancelled ends as cancelled, and leaves no task."""

        async def cancelled_after(steps: int, tool: str, arguments: Mapping[str, Any]) -> bool:
            before = asyncio.all_tasks()
            call = asyncio.ensure_future(self._call(protocol, tool, copy.deepcopy(dict(arguments))))
            for _ in range(steps):
                await asyncio.sleep(0)
            in_time = not call.done()
            call.cancel()
            await asyncio.wait([call], timeout=30)
            assert call.done(), "it did not end"
            assert in_time == call.cancelled(), f"{tool} kept the cancellation to itself"
            assert set() == asyncio.all_tasks() - before, "tasks were left behind"
            return in_time

        async def main() -> None:
            for tool, arguments in self.calls:
                for steps in range(self.steps):
                    if not await cancelled_after(steps, tool, arguments):
                        break

        asyncio.run(main())

    def test_can_be_closed_twice(self, protocol: ToolProtocol) -> None:
        """Closing it, without any call or again, does no harm."""

        async def main() -> None:
            await protocol.aclose()
            await protocol.aclose()

        asyncio.run(main())

    async def _call(self, protocol: ToolProtocol, tool: str, arguments: dict[str, Any]) -> Any:
        deadline = asyncio.get_running_loop().time() + 30
        context = ToolContext(agent="ada", run_id="r1", call_id="call_1", key="r1/ada/1", deadline=deadline)
        return await protocol.call(tool, arguments, context)

    async def _told(self, protocol: ToolProtocol, tool: str, arguments: dict[str, Any]) -> str | None:
        """What a model reads of a call; None if it failed without a word."""
        try:
            return text_of(await self._call(protocol, tool, arguments), OUTPUT_CAP)[0]
        except Exception as problem:  # noqa: BLE001 -- any kind will do, if it says what is wrong
            return str(problem) or None
