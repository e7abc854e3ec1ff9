"""Known secrets: none of them reaches a session, a journal or a sink."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import (
    Agent,
    EventSink,
    Functions,
    Message,
    Orchestration,
    Registry,
    Request,
    Secret,
    Thought,
    ThoughtChain,
    tool,
)
from cloudllm_core._journal import Chain, encode
from cloudllm_core._secrets import SHORTEST, Redaction
from cloudllm_core._settings import show as show_value
from cloudllm_core._tape import Tape
from cloudllm_core.errors import CloudLLMError, ProviderError
from cloudllm_core.testing import Notebook, ScriptedProvider, call
from tests.kernel.stories import InTurn, Story, replay, tell

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(alphabet='0ae\\"n:,u[{ \x00\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner),
    max_leaves=8,
)
CANARY = 'canary-"7f3a'
PLAIN = "canary-41d9"


class Keyed(ScriptedProvider):
    """Knows a key."""

    def secrets(self) -> Iterable[Secret]:
        return [Secret(PLAIN, "ACME_API_KEY")]


@tool(effect="read")
def leak(how: str) -> Any:
    """Tell a secret in some way."""
    if how == "raise":
        raise RuntimeError(f"401 for key {CANARY}")
    return {
        "text": CANARY,
        "json": json.dumps({"key": CANARY}),
        "address": f"https://a.example/?k={quote(CANARY, safe='')}",
    }[how]


def everything(show: Any) -> str:
    """All that a run left behind: records, sessions, requests, results, events."""
    agents = show.orchestration.agents
    sessions = [[message.to_json() for message in agent.session.messages] for agent in agents]
    requests = [[m.to_json() for m in request.messages] for agent in agents for request in agent.provider.requests]
    result = json.dumps(show.result.to_json()) + repr(show.result)
    events = [repr(record.event) for record in show.notebook.records]
    return "\n".join([json.dumps(sessions), json.dumps(requests), result, *events, *[r.text for r in show.records]])


@pytest.mark.parametrize("how", ["text", "json", "address", "raise"])
def test_what_a_tool_tells_is_hidden(how: str) -> None:
    """As it is, in JSON, in an address, in an error: the model reads the secret's name."""
    show = tell(
        InTurn(), {"ada": [call("leak", how=how), "Done."]}, tools=[leak], secrets=[Secret(CANARY, "ACME_API_KEY")]
    )
    replay(show)

    left = everything(show)
    assert "canary" not in left
    assert "secret:ACME_API_KEY" in left


def test_what_a_user_types_is_hidden() -> None:
    """A prompt with a key in it is kept without the key."""
    show = tell(InTurn(), {"ada": ["Hello."]}, f"Use {CANARY}.", secrets=[Secret(CANARY, "K")])
    replay(show)

    assert "canary" not in everything(show)
    assert "Use secret:K." == show.providers["ada"].requests[0].messages[0].text


def test_what_a_model_says_is_hidden() -> None:
    """In its words, in its calls, in its errors, and for those who hear it."""
    words = [f"It is {CANARY}.", [call("leak", how="text"), f"{CANARY}"], "Done.", ProviderError(f"no {CANARY}", "p")]
    show = tell(InTurn(3), {"ada": words, "bob": ["Yes.", "Yes.", "Yes."]}, tools=[leak], secrets=[Secret(CANARY, "K")])
    replay(show)

    assert "canary" not in everything(show)


def test_keys_of_providers_are_known() -> None:
    """A provider says which they are."""
    show = tell(InTurn(), {"ada": Keyed(f"My key is {PLAIN}.")})

    assert ("My key is secret:ACME_API_KEY.", False) == (show.result.answer, PLAIN in everything(show))


def test_the_environment_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are called like a key, a token, a secret or a password."""
    for name in ("ACME_API_KEY", "GH_TOKEN", "DB_PASSWORD", "my_secret"):
        monkeypatch.setenv(name, f"canary-{name}-41")
    monkeypatch.setenv("SHORT_KEY", "cana")
    monkeypatch.setenv("EDITOR_NAME", "nano-editor")
    said = "canary-ACME_API_KEY-41 canary-GH_TOKEN-41 canary-DB_PASSWORD-41 canary-my_secret-41 cana nano-editor"

    show = tell(InTurn(), {"ada": [said]})

    expected = "secret:ACME_API_KEY secret:GH_TOKEN secret:DB_PASSWORD secret:my_secret cana nano-editor"
    assert expected == show.result.answer


def test_streams_are_hidden_piece_by_piece() -> None:
    """Whoever listens hears the name of the secret."""

    async def main() -> str:
        ada = Agent("ada", Keyed(f"It is {PLAIN} indeed."), registry=Registry.of())
        return "".join([text async for text in ada.stream("What is it?")])

    assert "It is secret:ACME_API_KEY indeed." == asyncio.run(main())


def test_instructions_are_sent_and_not_kept() -> None:
    """They are the user's own words to the model; the journal has them without the key."""

    async def main() -> tuple[str, str]:
        notebook = Notebook()
        provider = ScriptedProvider("Hello.")
        ada = Agent("ada", provider, f"Log in with {CANARY}.", registry=Registry.of())
        team = Orchestration([ada], InTurn(), sinks=[notebook], secrets=[Secret(CANARY, "K")], registry=Registry.of())
        await team.run("Begin.")
        return provider.requests[0].instructions, "".join([record.text for record in notebook.records])

    instructions, kept = asyncio.run(main())
    assert (True, False) == (CANARY in instructions, "canary" in kept)


LONG = st.text(min_size=SHORTEST).map(str.strip).filter(lambda text: len(text) >= SHORTEST)


@given(value=LONG, before=st.text(), after=st.text())
def test_no_form_of_a_secret_is_left(value: str, before: str, after: str) -> None:
    """Neither plain, nor in JSON, nor in an address."""
    hide = Redaction([Secret(value, "")])
    said = before + value + after

    assert value not in hide(said) or value in "secret:unnamed"
    assert "secret:unnamed" in hide(said)
    if value.isprintable() and value.isascii():
        assert quote(value, safe="") not in hide(f"?k={quote(value, safe='')}") or value in "secret:unnamed?k="


@given(text=st.text())
def test_other_text_stays(text: str) -> None:
    """Where no secret is, nothing changes."""
    assert text == Redaction([Secret("a-secret-of-mine-0451", "K")])(text)


def test_longer_secrets_are_hidden_first() -> None:
    """A secret that begins like another is hidden whole."""
    assert "secret:LONG" == Redaction([Secret("abcdefgh", "SHORT"), Secret("abcdefghij", "LONG")])("abcdefghij")


def test_requests_carry_no_secret_of_the_session() -> None:
    """The next model call, too, holds the name only."""
    seen: list[Request] = []

    def look(request: Request) -> str:
        seen.append(request)
        return "Done."

    tell(InTurn(), {"ada": [call("leak", how="text"), look]}, tools=[leak], secrets=[Secret(CANARY, "ACME_API_KEY")])

    assert ["secret:ACME_API_KEY"] == [r.content for m in seen[0].messages for r in m.tool_results]


@given(secret=st.text(alphabet='0ae\\"n:,u[{ ', min_size=SHORTEST).filter(lambda s: len(s.strip()) > 7), value=JSON)
def test_json_stays_json(secret: str, value: Any) -> None:
    """However a secret looks, what is written can be read, and differs in strings only."""
    tape = Tape(Chain("r", None), hide=Redaction([Secret(secret, "K")]))

    redacted = json.loads(tape.redacted(encode(value)))

    assert shape(value) == shape(redacted)
    assert not any(secret in text for text in strings(redacted))


# -- hard cases -----------------------------------------------------------------


def test_secrets_that_overlap_are_hidden_whole() -> None:
    """No piece of either is left."""
    hide = Redaction([Secret("abcdefghij", "A"), Secret("ghijklmnop", "B")])

    assert ("x secret:A y", "secret:B") == (hide("x abcdefghijklmnop y"), hide("ghijklmnop"))
    assert "secret:A" == Redaction([Secret("abababab", "A")])("abababababab")


def test_a_name_is_not_taken_for_a_secret() -> None:
    """What stands there instead is not looked at again."""
    hide = Redaction([Secret("my-key-451", "B_API_KEY_1"), Secret("B_API_KEY_1", "A")])

    assert "secret:B_API_KEY_1 secret:A" == hide("my-key-451 B_API_KEY_1")


@pytest.mark.parametrize(
    "told",
    [
        "ab/cd+ef==\n".strip(), "ab%2Fcd%2Bef%3D%3D", "ab%2fcd%2bef%3d%3d", "ab/cd%2Bef%3D%3D", "ab\\/cd+ef==",
        json.dumps({"k": json.dumps("ab/cd+ef==")}),
    ],
)  # fmt: skip
def test_a_key_of_a_file_has_a_line_end(told: str) -> None:
    """A value that was read with the line's end is found without it, in every form."""
    assert "cd" not in Redaction([Secret("ab/cd+ef==\n", "K")])(told)


def test_a_secret_of_many_lines_is_found_line_by_line() -> None:
    """Indented or quoted, as a model would repeat it."""
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"
    said = "> -----BEGIN KEY-----\n>   MIIEvQIBADANBgkqhkiG9w0B\r\n>   AQEFAASCBKcwggSjAgEAAoIB"

    assert "> -----BEGIN KEY-----\n>   secret:K\r\n>   secret:K" == Redaction([Secret(key, "K")])(said)


def test_words_in_the_environment_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is a plain word would be found wherever there is talk of it; a sentence would not."""
    monkeypatch.setenv("PG_PASSWORD", "postgres")
    monkeypatch.setenv("LM_API_KEY", "not-needed")
    monkeypatch.setenv("ROOT_PASSWORD", "correct-horse-battery-staple")
    said = "Use postgres, a key is not-needed: correct-horse-battery-staple."

    assert "Use postgres, a key is not-needed: secret:ROOT_PASSWORD." == tell(InTurn(), {"ada": [said]}).result.answer


WORDS = ["arguments", "assistant", "parameters", "RunCompleted", "tool_name", "messages", "sessions", "is_error"]


@pytest.mark.parametrize("word", [*WORDS, "tool_calls", "iteration", "content", "read_file", "response_length"])
def test_a_secret_that_is_a_word_of_the_journal_breaks_nothing(word: str) -> None:
    """Whoever takes ``arguments`` for a password loses the word in texts, and nothing else."""

    @tool(effect="read", name="read_file")
    def read_file(path: str) -> dict[str, str]:
        """Read a file."""
        return {word: f"it is {word} there"}

    lines = [call("read_file", path=f"/{word}/a"), f"It is {word} here."]
    show = tell(InTurn(2), {"ada": [*lines, "Done."], "bob": ["Yes.", "No."]}, tools=[read_file],
                secrets=[Secret(word, "K")])  # fmt: skip
    replay(show)

    assert (True, 4, "completed") == (show.result.complete, len(show.result.messages), show.result.stop_reason)
    said = [message.text for message in show.result.messages]
    assert (f"It is {word} here." if len(word) < SHORTEST else "It is secret:K here.") in said


class Known(ScriptedProvider):
    """Knows what *told* holds at the time."""

    told: ClassVar[list[Secret]] = []

    def secrets(self) -> Iterable[Secret]:
        return self.told


@pytest.mark.parametrize("known", [True, False, "more"])
def test_a_replay_does_not_depend_on_what_is_known_now(known: Any) -> None:
    """A journal is re-enacted with the secrets of then, with none, and with others that happen to stand in it."""
    Known.told = [Secret(CANARY, "ACME_API_KEY")]
    words = [call("leak", how="text"), f"{CANARY} is what I found in the shed."]
    show = tell(
        InTurn(2), {"ada": Known(*words, "Done."), "bob": Known(f"So it is {CANARY}?", "Yes.")}, f"Find {CANARY}.",
        tools=[leak],
    )  # fmt: skip
    Known.told = {
        True: [Secret(CANARY, "ACME_API_KEY")], False: [], "more": [Secret("what I found in", "SHED_KEY")],
    }[known]  # fmt: skip

    again = replay(show)

    assert [message.text for message in show.result.messages] == [message.text for message in again.messages]
    assert "canary" not in everything(show)


@pytest.mark.parametrize("way", ["receive", "restore", "later"])
def test_what_a_session_held_before_is_hidden_when_it_is_used(way: str) -> None:
    """Put in by the program, or said before anybody knew that it was a secret; a replay finds the same."""
    ada = Agent("ada", ScriptedProvider(f"It is {CANARY}.", "Done.", repeat=True), registry=Registry.of())

    async def main() -> tuple[str, list[str]]:
        if way == "receive":
            ada.receive_message(f"The key is {CANARY}.")
        elif way == "restore":
            ada.restore([Message.user(f"The key is {CANARY}?"), Message.assistant(f"It is {CANARY}.")])
        else:
            await ada.send("What is it?")
        team = Orchestration([ada], InTurn(), secrets=[Secret(CANARY, "K")], registry=Registry.of())
        run = team.run("Begin.")
        await run
        await team.replay(run.records)
        sent = ada.provider.requests[-1]  # type: ignore[attr-defined]
        session = json.dumps([m.to_json() for m in (*ada.session.messages, *sent.messages)])
        return session, [record.text for record in run.records]

    session, texts = asyncio.run(main())
    assert "canary" not in session + "".join(texts)
    assert "secret:K" in session


def test_errors_of_a_mode_are_cleaned_with_all_that_led_to_them() -> None:
    """The result's error, its causes and notes, however they are printed."""

    async def story(hub: Any) -> None:
        try:
            try:
                raise OSError(2, "no such file", f"/run/{PLAIN}")
            except OSError as problem:
                problem.add_note(f"note {PLAIN}")
                raise ProviderError(f"no {PLAIN}", "p", hint=f"use {PLAIN}") from problem
        except ProviderError as problem:
            raise KeyError(f"{PLAIN} is missing") from problem

    show = tell(story, {"ada": Keyed("Hello.")})
    error = show.result.error
    assert error is not None
    printed = "".join(traceback.format_exception(error))

    assert PLAIN not in printed + repr(error) + str(show.result.to_json()) + repr(show.result)
    assert 5 == len(re.findall("secret:ACME_API_KEY", printed))


def test_what_a_sink_complains_of_is_cleaned() -> None:
    """Its report is part of the result."""

    class Grumbling(EventSink):
        name: ClassVar[str] = "grumbling"

        def receive(self, record: Any) -> None:
            raise RuntimeError(f"cannot post to https://a.example/{PLAIN}")

    show = tell(InTurn(), {"ada": Keyed("Hello.")}, sinks=[Grumbling()])

    assert PLAIN not in str(show.result.to_json()) + repr(show.result.sinks)
    assert "secret:ACME_API_KEY" in str(show.result.sinks[0].problem)


def test_thoughts_are_kept_without_secrets() -> None:
    """What is committed, and who the agent was."""
    kept: list[str] = []

    class Chain(ThoughtChain):
        name: ClassVar[str] = "chain"

        @property
        def thoughts(self) -> list[Thought]:
            return []

        def append(self, agent: str, type: str, content: str, refs: Any = (), meta: Any = None) -> Thought:
            kept.append(f"{content} {meta}")
            return Thought(index=0, at=0.0, agent=agent, type=type, content=content, meta=meta)

    ada = Agent("ada", Keyed("Hello."), f"Log in with {PLAIN}.", thoughts=Chain(), registry=Registry.of())
    asyncio.run(ada.commit("Finding", f"It was {PLAIN}."))

    assert (False, 2) == (PLAIN in kept[0], kept[0].count("secret:ACME_API_KEY"))


def test_tools_that_come_during_a_run_are_kept_without_secrets() -> None:
    """Their descriptions are words to the model; the journal has them without."""

    @tool(name="look", description=f"Look at https://a.example/?key={PLAIN}", effect="read")
    def look() -> str:
        return "Nothing."

    ada = Agent("ada", Keyed("Hi.", "Done."), registry=Registry.of())

    async def story(hub: Any) -> None:
        await hub.ask("ada", "Begin.")
        ada.add_protocol(Functions([look], "more"))
        await hub.sleep(0.01)
        await hub.ask("ada", "Go on.")

    async def main() -> str:
        run = Orchestration([ada], Story(story), registry=Registry.of()).run("Begin.")
        await run
        return "".join([record.text for record in run.records])

    assert (False, True) == (PLAIN in (text := asyncio.run(main())), "secret:ACME_API_KEY" in text)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "in-turn", "agents": [[{"name": "ada", "api_key": PLAIN}]]},
        {"mode": "in-turn", "agents": [{"name": "ada", "model": {"nam": "p:m", "api_key": PLAIN}}]},
        {"mode": "in-turn", "agents": [{"name": "ada", "model": [{"name": "p:m", "api_key": PLAIN}]}]},
        {"mode": "in-turn", "agents": [{"name": "ada", "model": {"name": "script:m"}, "tools": [[{"token": PLAIN}]]}]},
        {"mode": [{"name": "in-turn", "password": PLAIN}], "agents": [{"name": "ada"}]},
        {"mode": "in-turn", "agents": [{"name": "ada", "model": "script:m"}], "sinks": {"headers": {"x": PLAIN}}},
        {"mode": {"name": "x", "url": f"https://u:{PLAIN}@a.example/?k={PLAIN}"}, "agents": {"secret": PLAIN}},
    ],
)  # fmt: skip
def test_errors_of_a_team_file_do_not_show_what_is_called_a_secret(settings: Any) -> None:
    """A table is shown without its keys and tokens."""
    with pytest.raises(CloudLLMError) as caught:
        Orchestration.from_settings(settings, registry=Registry.of(InTurn))

    assert PLAIN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("value", "where", "shown"),
    [
        ([PLAIN], "model.api_key", "a value of the type list"),
        (3, "agents[0].headers.x-key", "a value of the type int"),
        ({"name": "a", "api_key": PLAIN, "more": [{"token": PLAIN}]}, "model",
         "{'api_key': '...', 'more': [{'token': '...'}], 'name': 'a'}"),
        (f"https://u:{PLAIN}@a.example/p?k={PLAIN}", "base_url", "'https:...a.example/p...'"),
        (None, "rounds", "nothing"),
    ],
)  # fmt: skip
def test_a_value_is_shown_without_its_secrets(value: Any, where: str, shown: str) -> None:
    """By what it is called, or by what stands in it."""
    assert shown == show_value(value, where)


def shape(value: Any) -> Any:
    """*value* without what its strings say."""
    if isinstance(value, dict):
        return len(value) and sorted(map(repr, map(shape, value.values())))
    return [shape(item) for item in value] if isinstance(value, list) else "" if isinstance(value, str) else value


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *[text for item in value.values() for text in strings(item)]]
    nested = [text for item in value for text in strings(item)] if isinstance(value, list) else []
    return [value] if isinstance(value, str) else nested
