"""Scripts: what may stand in the file, and how it is played."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudllm_provider_script
from cloudllm_core import Agent, Completion, Hub, Message, Mode, Orchestration, Outcome, Registry, Request, Usage, tool
from cloudllm_core.errors import BadRequest, Overloaded, SettingsError
from cloudllm_core.testing import VirtualLoop, run_virtually
from cloudllm_provider_script import Line, Script, cloudllm_register_provider, read_script

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a script, and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "script.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def ask(role: str, text: str = "Go.") -> Request:
    return Request(model=role, instructions="", messages=(Message.user(text),))


def play(provider: Script, *roles: str) -> list[Completion]:
    async def main() -> list[Completion]:
        return [await provider.complete(ask(role)) for role in roles]

    return asyncio.run(main())


# -- the file -----------------------------------------------------------------


def test_a_script_is_read(write):
    """Roles with their lines in order; a line says something, calls tools, or fails."""
    path = write("""
        [[architect]]
        say = "I begin."
        call = [{ tool = "write_file", arguments = { path = "a.html" } }, { tool = "look" }]
        pause = 2
        [[artist]]
        fail = "out of order"
        [[architect]]
        call = { tool = "look" }
    """)
    script = read_script(path)

    assert ["architect", "artist"] == list(script)
    first, second = script["architect"]
    assert ("I begin.", 2.0, ["write_file", "look"]) == (first.say, first.pause, [call.tool for call in first.call])
    assert [{"path": "a.html"}, {}] == [call.arguments for call in first.call]
    assert ("", ["look"]) == (second.say, [call.tool for call in second.call])
    assert (Line(fail="out of order"),) == script["artist"]


SECONDS = "a number of seconds, 0 or more"
CALL = 'a table such as { tool = "read_file", arguments = { path = "a.txt" } }'


@pytest.mark.parametrize(
    ("text", "place", "found", "expected"),
    [
        ("ada = 'Hello.'", "", "'Hello.'", "lines, each headed [[ada]]."),
        ("[ada]\nsay = 'x'", "", "{'say': 'x'}", "lines, each headed [[ada]]."),
        ("ada = [1]", "[0]", "1", "a table."),
        ("[[ada]]\nsay = 1", "[0].say", "1", "text."),
        ("[[ada]]\nsay = 'x'\n[[ada]]\nfail = true", "[1].fail", "True", "a message."),
        ("[[ada]]\npause = 1", "[0]", "nothing to do", "say, call or fail."),
        ("[[ada]]\ncall = 'look'", "[0].call", "'look'", "a table or a list of tables."),
        ("[[ada]]\ncall = [{ name = 'look' }]", "[0].call", "{'name': 'look'}", f"{CALL}."),
        ("[[ada]]\ncall = {tool = 'x', args = {}}", "[0].call", "the unknown key 'args'", "tool and arguments."),
        ("[[ada]]\ncall = {tool = 'x', arguments = []}", "[0].call.arguments", "[]", "a table."),
        *(
            (f"[[ada]]\nsay = 'x'\npause = {value}", "[0].pause", found, f"{SECONDS}.")
            for value, found in [("'long'", "'long'"), ("true", "True"), ("-1", "-1"), ("nan", "nan"), ("inf", "inf")]
        ),
        (
            "[[ada]]\nsay = 'x'\nfail = 'y'",
            "[0]",
            "fail beside say or call",
            "either: a call that fails brings no answer.",
        ),
        (
            "[[ada]]\nsya = 'x'",
            "[0].sya",
            "the unknown key 'sya'",
            "one of say, call, fail, pause. Did you mean 'say'?",
        ),
    ],
)
def test_mistakes_are_told(write, text, place, found, expected):
    """What is wrong is named with its place, what was found and what was expected."""
    path = write(text)

    with pytest.raises(SettingsError) as refused:
        read_script(path)
    assert f"{path}: ada{place}: found {found}, expected {expected}" == str(refused.value)


def test_what_is_no_toml_is_told(write, tmp_path):
    """So are a file that is no TOML, no text, or not there."""
    with pytest.raises(SettingsError, match=r"script.toml: found no TOML \(Expected .*\), expected a script\."):
        read_script(write("[[ada"))
    (tmp_path / "raw.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"raw.toml: found no TOML \(.*\), expected a script\."):
        read_script(tmp_path / "raw.toml")
    with pytest.raises(SettingsError, match=r"found no readable file \(No such file or directory\), expected a script"):
        read_script(tmp_path / "gone.toml")
    with pytest.raises(SettingsError, match=r"found no readable file \(Is a directory\), expected a script"):
        read_script(tmp_path)


# -- playing it ---------------------------------------------------------------


def test_each_role_plays_its_own_lines(write):
    """The model's name is the role; roles do not disturb each other."""
    provider = Script(write("[[ada]]\nsay='a1'\n[[ada]]\nsay='a2'\n[[bob]]\nsay='b1'"))

    answers = play(provider, "ada", "bob", "ada")
    assert ["a1", "b1", "a2"] == [answer.message.text for answer in answers]
    assert [("end", "ada"), ("end", "bob"), ("end", "ada")] == [(answer.stop, answer.model) for answer in answers]


def test_calls_of_tools(write):
    """A line with calls stops for them; their ids differ in all of a role's lines."""
    provider = Script(write("[[ada]]\nsay='I look.'\ncall=[{tool='look'},{tool='look',arguments={at='x'}}]"), loop=True)

    first, second = play(provider, "ada", "ada")
    assert ("tool_use", "I look.", ["look", "look"]) == (
        first.stop, first.message.text, [call.name for call in first.message.tool_calls],
    )  # fmt: skip
    assert [{}, {"at": "x"}] == [call.arguments for call in first.message.tool_calls]
    ids = [call.id for answer in (first, second) for call in answer.message.tool_calls]
    assert ["ada-1-1", "ada-1-2", "ada-2-1", "ada-2-2"] == ids


def test_a_line_that_fails(write):
    """It fails as an overloaded provider does, and the next call goes on with the next line."""
    provider = Script(write("[[ada]]\nfail='too busy'\n[[ada]]\nsay='a2'"))

    with pytest.raises(Overloaded) as failed:
        play(provider, "ada")
    assert "script:ada: too busy." == str(failed.value)
    assert "a2" == play(provider, "ada")[0].message.text


def test_the_end_of_a_script(write):
    """A call beyond the last line fails, unless the script is to be played in a loop."""
    path = write("[[ada]]\nsay='a1'\n[[ada]]\nsay='a2'")

    with pytest.raises(BadRequest) as over:
        play(Script(path), "ada", "ada", "ada")
    assert "script:ada: the script of 'ada' is over after 2 lines. Write more lines, or set loop = true." == str(
        over.value
    )
    looped = [answer.message.text for answer in play(Script(path, loop=True), "ada", "ada", "ada", "ada")]
    assert ["a1", "a2", "a1", "a2"] == looped


def test_roles_that_are_not_there(write):
    """An unknown role is answered with the ones there are, and the near miss."""
    path = write("[[architect]]\nsay='x'\n[[artist]]\nsay='y'")

    with pytest.raises(BadRequest) as unknown:
        play(Script(path), "architekt")
    assert f"script: {path} has no role 'architekt' (roles: architect, artist). Did you mean 'architect'?" == str(
        unknown.value
    )


def test_a_wrong_script_fails_the_call(write):
    """The file is read at the first call, so that one mistake in it is one failed call, and mending it is enough."""
    path = write("[[ada]]\nsya='x'")
    provider = Script(path)

    with pytest.raises(BadRequest) as failed:
        play(provider, "ada")
    assert f"script: the script cannot be played: {path}: ada[0].sya: found the unknown key 'sya'" in str(failed.value)
    write("[[ada]]\nsay='x'")
    assert "x" == play(provider, "ada")[0].message.text


def test_pauses_take_virtual_time(write):
    """A line waits as long as it says, and others do not wait for it."""
    provider = Script(write("[[ada]]\nsay='a1'\npause=3600\n[[bob]]\nsay='b1'\npause=60\n[[bob]]\nsay='b2'"))
    order = []

    async def main(loop: VirtualLoop) -> float:
        async def speak(role: str) -> None:
            order.append((await provider.complete(ask(role))).message.text)

        await asyncio.gather(speak("ada"), speak("bob"), speak("bob"))
        return loop.time()

    assert 3600 == run_virtually(main)
    assert ["b2", "b1", "a1"] == order


def test_usage_is_an_estimate(write):
    """A quarter of the characters of the last message and of the answer, one at least."""
    provider = Script(write("[[ada]]\nsay='12345678'"), loop=True)

    async def usage(text: str) -> Usage | None:
        return (await provider.complete(ask("ada", text))).usage

    assert Usage(input=10, output=2) == asyncio.run(usage("x" * 40))
    assert Usage(input=1, output=2) == asyncio.run(usage("x"))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_pieces_join_to_what_is_said(tmp_path_factory, text):
    """Whatever a line says, its pieces are words, and together the whole of it."""
    path = tmp_path_factory.mktemp("scripts") / "script.toml"
    path.write_text("[[ada]]\nsay = '''\n" + text.replace("'", "") + "'''", "utf-8")
    pieces: list[str] = []

    answer = asyncio.run(Script(path).stream(ask("ada"), lambda sort, piece: pieces.append(piece)))
    assert text.replace("'", "") == answer.message.text == "".join(pieces)
    assert all(re.fullmatch(r"\s*\S+\s*|\s+", piece) for piece in pieces)


# -- in a run -----------------------------------------------------------------


class Once(Mode):
    """Asks each agent once."""

    name: ClassVar[str] = "once"

    def settings(self) -> dict[str, object]:
        return {}

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for agent in hub.agents:
            await hub.try_ask(agent, prompt)
        return Outcome(complete=hub.everyone_spoke)


@tool(effect="read")
def look(at: str) -> str:
    """Look.

    Args:
        at: at what
    """
    return f"{at} is blue"


def test_a_scripted_team_at_work(write):
    """Agents named ``script:role`` use tools and answer as written."""
    path = write("""
        [[one]]
        say = "I look."
        call = { tool = "look", arguments = { at = "the sea" } }
        [[one]]
        say = "It is blue."
        [[two]]
        say = "I see."
    """)
    registry = Registry.of(cloudllm_provider_script)
    roles = {"ada": "one", "bob": "two"}
    agents = [
        Agent(name, {"name": f"script:{role}", "path": str(path)}, tools=[look], registry=registry)
        for name, role in roles.items()
    ]
    result = Orchestration(agents, Once(), registry=registry).run_sync("What colour is it?")

    assert [("ada", "It is blue.", 1), ("bob", "I see.", 0)] == [
        (r.agent, r.text, r.tool_calls) for r in result.messages
    ]
    assert result.complete


def test_what_it_is_made_from(write):
    """A path, and whether to loop; as text or as a path."""
    path = write("")

    assert path == Script.from_settings({"path": str(path)}).path
    assert Script is cloudllm_register_provider()
    with pytest.raises(SettingsError, match="Did you mean 'loop'"):
        Script.from_settings({"path": "x", "lop": True})
    with pytest.raises(SettingsError, match="no 'path'"):
        Script.from_settings({})
