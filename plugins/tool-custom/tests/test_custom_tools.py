"""Tools that come and go: registered, called, refused, removed, exported."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Agent, Functions, Tool, ToolContext, ToolDefinition, tool
from cloudllm_core.errors import SettingsError, SetupError, ToolSchemaError
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_tool_custom import CustomTools, openai_functions

EMPTY = {"type": "object", "properties": {}}
NOTE = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)


def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


async def whisper(text: str) -> str:
    """Say it softly."""
    await asyncio.sleep(0)
    return text.lower()


def say(tools: CustomTools, name: str, **arguments: Any) -> Any:
    return asyncio.run(tools.call(name, arguments, CONTEXT))


# -- registering --------------------------------------------------------------


def test_functions_of_both_sorts_are_tools() -> None:
    """Sync or async, by annotation or by schema: they are called with the arguments by name."""
    tools = CustomTools([shout, whisper])
    tools.register(shout, name="call_out", effect="read", needs=["network"], untrusted=True)
    tools.register_json("note", "Note it.", NOTE, lambda text: f"noted {text}", timeout=5)
    tools.register_definition(ToolDefinition(name="hum", description="Hum.", parameters=EMPTY), lambda: "hm")

    assert ["shout", "whisper", "call_out", "note", "hum"] == [one.name for one in tools.tools()]
    assert ["HI", "hi", "HI", "noted Hi", "hm"] == [
        say(tools, "shout", text="Hi"),
        say(tools, "whisper", text="Hi"),
        say(tools, "call_out", text="Hi"),
        say(tools, "note", text="Hi"),
        say(tools, "hum"),
    ]
    third = tools.tools()[2]
    assert ("read", ("network",), True) == (third.effect, third.needs, third.untrusted)
    assert 5 == tools.tools()[3].timeout


def test_a_decorated_function_stays_a_function() -> None:
    """@tools.register gives the tool, which people call as before; @tool below it says more."""
    tools = CustomTools()

    @tools.register
    @tool(effect="read", timeout=3)
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert 3 == add(1, 2)
    assert ("read", 3) == (tools.tools()[0].effect, tools.tools()[0].timeout)


def test_a_tool_may_be_registered_by_another_name() -> None:
    """It keeps everything else, and the original keeps its name."""
    made = tool(effect="read")(shout)
    tools = CustomTools([made])
    tools.register(made, name="yell")

    assert ["shout", "yell"] == [one.name for one in tools.tools()]
    assert "read" == tools.tools()[1].effect
    assert "HI" == say(tools, "yell", text="hi")


def test_methods_are_tools_of_their_object() -> None:
    """Each object's tool is its own."""

    class Counter:
        def __init__(self, step: int) -> None:
            self.step = step

        @tool(effect="read")
        def after(self, n: int) -> int:
            """The next."""
            return n + self.step

    tools = CustomTools()
    tools.register(Counter(1).after)
    tools.register(Counter(10).after, name="ten_after")

    assert [3, 12] == [say(tools, "after", n=2), say(tools, "ten_after", n=2)]
    with pytest.raises(ToolSchemaError, match=r"it is a method without its object. Register thing.after."):
        tools.register(Counter.after)


def test_plain_functions_do_not_block_the_event_loop() -> None:
    """They run in a thread."""
    tools = CustomTools()
    tools.register_json("where", "Where.", EMPTY, lambda: threading.current_thread() is threading.main_thread())

    assert False is say(tools, "where")


def test_partials_and_objects_can_be_called_too() -> None:
    """Whatever can be called with the arguments will do."""

    class Saying:
        async def __call__(self, text: str) -> str:
            return f"{text}?"

    tools = CustomTools()
    tools.register_json("note", "Note.", EMPTY, functools.partial(shout, text="x"))
    tools.register_json("ask", "Ask.", NOTE, Saying())

    assert ["X", "so?"] == [say(tools, "note"), say(tools, "ask", text="so")]


# -- refused ------------------------------------------------------------------


def gather(**words: int) -> int:
    return len(words)


def first(text: str, /) -> str:
    return text


def each(text: str) -> Any:
    yield text


@pytest.mark.parametrize(
    ("name", "schema", "fn", "options", "says"),
    [
        ("two words", EMPTY, gather, {}, "models allow 64 letters, digits, _ and - in a name. Give it one with"),
        ("t", EMPTY, gather, {"effect": "reed"}, "its effect 'reed' is unknown. Did you mean 'read'?"),
        ("t", EMPTY, gather, {"efect": "read"}, "@tool has no option 'efect'. Did you mean 'effect'?"),
        ("t", EMPTY, gather, {"needs": ["files", "moon"]}, "its need 'moon' is unknown."),
        ("t", {"type": "string"}, gather, {}, "its parameters are not the JSON Schema of an object. Write {"),
        ("t", [], gather, {}, "its parameters are not plain JSON."),
        ("t", {"type": "object", "default": {1}}, gather, {}, "its parameters are not plain JSON."),
        ("t", {"type": "object", "default": float("inf")}, gather, {}, "its parameters are not plain JSON."),
        (
            "t",
            {"type": "object", "required": "text"},
            gather,
            {},
            "its parameters are not the JSON Schema of an object.",
        ),
        (
            "t",
            {"type": "object", "properties": ["a"]},
            gather,
            {},
            "its parameters are not the JSON Schema of an object",
        ),
        ("t", NOTE, lambda word: 1, {}, "its function has no parameter 'text'. Add it, or **arguments, or take 'text'"),
        ("t", EMPTY, shout, {}, "its function needs 'text', and a model may leave it out. Name 'text' in 'required',"),
        ("t", NOTE, first, {}, "its function has no parameter 'text'."),
        ("t", NOTE, each, {}, "its function yields, and a call has one result. Return a list instead."),
        ("t", EMPTY, 5, {}, "nobody can see which arguments its function takes. Wrap it in a def."),
    ],
)
def test_what_could_not_work_is_refused_at_once(name: str, schema: Any, fn: Any, options: Any, says: str) -> None:
    """Name, options, schema and function are judged when they are registered; nothing is added."""
    tools = CustomTools()

    with pytest.raises(ToolSchemaError) as refused:
        tools.register_json(name, "Do it.", schema, fn, **options)
    assert f"{name!r} cannot become a tool: {says}" in str(refused.value)
    assert [] == list(tools.tools())


def test_whole_definitions_are_judged_too() -> None:
    """They come from anywhere, so nothing in them is taken for granted."""
    wrong = ToolDefinition(name="no good", description="", parameters=EMPTY)

    with pytest.raises(ToolSchemaError, match="'no good' cannot become a tool: models allow 64 letters"):
        CustomTools().register_definition(wrong, gather)


def test_two_of_a_name_are_refused_naming_both() -> None:
    """Whichever way they come, sync or async; the first stays."""
    tools = CustomTools([shout])

    with pytest.raises(ToolSchemaError) as refused:
        tools.register(whisper, name="shout")
    assert (
        f"'shout' cannot become a tool: custom has one of this name ({__name__}.shout; this is {__name__}.whisper). "
        "Remove that one first, or give this one another name." == str(refused.value)
    )
    with pytest.raises(ToolSchemaError, match="has one of this name"):
        tools.register_json("shout", "Say it.", NOTE, whisper)
    assert "HI" == say(tools, "shout", text="hi")


def test_options_beside_a_tool_are_refused() -> None:
    """It has its own."""
    with pytest.raises(ToolSchemaError, match=r"it is one already, and effect came with it. Give them to @tool"):
        CustomTools().register(tool(shout), effect="read")
    with pytest.raises(ToolSchemaError, match="models allow 64 letters"):
        CustomTools().register(tool(shout), name="no good")


def test_a_team_file_cannot_make_one() -> None:
    """The error says how it is done."""
    with pytest.raises(SettingsError) as refused:
        Agent("ada", ScriptedProvider(), tools=["custom"])
    assert (
        "tools[0]: found a name or a table, expected functions, which only a program can give. "
        "Make one in Python: CustomTools([search]), and give it to an agent as tools=[...]." == str(refused.value)
    )


def test_a_source_has_a_name_and_its_tools_are_known_by_theirs() -> None:
    """Errors and agents use its name; an agent's thoughts remember the functions, as those of `tools=[shout]`."""
    tools = CustomTools([shout], name="voice")
    ada = Agent("ada", ScriptedProvider(), tools=[tools])

    with pytest.raises(LookupError, match=r"There is no tool 'x' in voice \(shout\)\."):
        say(tools, "x")
    assert ["voice"] == list(ada.toolbox.protocols)
    assert ["shout"] == ada.identity["tools"]


# -- coming and going ---------------------------------------------------------


def test_removing_takes_a_tool_away() -> None:
    """It is gone, may be registered again, and what is missing is told with the near miss."""
    tools = CustomTools([shout, whisper])

    removed = tools.remove("shout")

    assert isinstance(removed, Tool)
    with pytest.raises(LookupError, match=r"There is no tool 'shout' in custom \(whisper\)\."):
        say(tools, "shout", text="hi")
    with pytest.raises(SetupError, match=r"There is no tool 'wisper' in custom \(whisper\). Did you mean 'whisper'\?"):
        tools.remove("wisper")
    tools.register(removed)
    assert "HI" == say(tools, "shout", text="hi")


def test_an_agent_sees_changes_when_it_is_given_the_tools_anew() -> None:
    """Until then it has those it was given; a call of one that is gone is answered."""
    tools = CustomTools([shout])
    provider = ScriptedProvider(call("shout", text="a"), "Done.", call("whisper", text="B"), "Done.")
    ada = Agent("ada", provider, tools=[tools])
    tools.remove("shout")
    tools.register(whisper)

    asyncio.run(ada.send("Go."))
    ada.remove_protocol("custom")
    ada.add_protocol(tools)
    asyncio.run(ada.send("Go on."))

    results = [result.content for message in ada.session.messages for result in message.tool_results]
    assert ["LookupError: There is no tool 'shout' in custom (whisper).", "b"] == results
    assert ("whisper",) == ada.list_tools()


# -- exporting ----------------------------------------------------------------

PLAIN = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
JSON = st.recursive(
    PLAIN, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3)
)


@given(st.dictionaries(st.text(max_size=5), JSON.filter(lambda part: part is not None), max_size=3), st.text())
def test_the_export_loses_nothing(properties: dict[str, Any], description: str) -> None:
    """Whatever is in a schema comes out, nested items and properties too; and is a copy."""
    schema = {"type": "object", "properties": properties, "$defs": properties}
    tools = CustomTools()
    given = json.loads(json.dumps(schema))
    tools.register_json("t", description, given, gather)
    given["properties"]["late"] = {"type": "string"}

    exported = openai_functions(tools)

    expected = {"type": "function", "function": {"name": "t", "description": description, "parameters": schema}}
    assert [expected] == exported
    exported[0]["function"]["parameters"].clear()
    assert schema == tools.tools()[0].parameters


def test_any_source_can_be_exported() -> None:
    """Functions, protocols, or definitions alone."""
    source = Functions([shout])

    assert openai_functions(source) == openai_functions(source.tools())
    assert "shout" == openai_functions(source)[0]["function"]["name"]
