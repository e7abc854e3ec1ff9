"""Known secrets: none of them reaches a session, a journal or a sink."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Agent, Orchestration, Registry, Request, Secret, tool
from cloudllm_core._journal import Chain, encode
from cloudllm_core._secrets import SHORTEST, Redaction
from cloudllm_core._tape import Tape
from cloudllm_core.errors import ProviderError
from cloudllm_core.testing import Notebook, ScriptedProvider, call
from tests.kernel.stories import InTurn, replay, tell

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
        monkeypatch.setenv(name, f"canary-{name}")
    monkeypatch.setenv("SHORT_KEY", "cana")
    monkeypatch.setenv("EDITOR_NAME", "nano-editor")
    said = "canary-ACME_API_KEY canary-GH_TOKEN canary-DB_PASSWORD canary-my_secret cana nano-editor"

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


@given(value=st.text(min_size=SHORTEST), before=st.text(), after=st.text())
def test_no_form_of_a_secret_is_left(value: str, before: str, after: str) -> None:
    """Neither plain, nor in JSON, nor in an address."""
    hide = Redaction([Secret(value, "")])
    said = before + value + after

    assert value not in hide(said) or value in "secret:unnamed"
    assert said.replace(value, "secret:unnamed") == hide(said) or value not in hide(said)
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


@given(secret=st.text(alphabet='0ae\\"n:,u[{ ', min_size=SHORTEST), value=JSON)
def test_json_stays_json(secret: str, value: Any) -> None:
    """However a secret looks, what is written can be read, and differs in strings only."""
    tape = Tape(Chain("r", None), hide=Redaction([Secret(secret, "K")]))

    redacted = json.loads(tape.redacted(encode(value)))

    assert shape(value) == shape(redacted)
    assert not any(secret in text for text in strings(redacted))


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
