"""Structured output: an answer of the agent's type, or a turn that failed."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NotRequired, TypedDict

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Agent, Orchestration, Request
from cloudllm_core._output import Shape
from cloudllm_core.errors import AgentFailedError, SettingsError
from cloudllm_core.testing import ScriptedProvider, call
from tests.kernel.stories import InTurn


@attrs.frozen
class Step:
    title: str
    minutes: int = 5


@attrs.frozen
class Plan:
    """A plan."""

    goal: str
    steps: tuple[Step, ...]


class Note(TypedDict):
    text: str
    tags: NotRequired[list[str]]


class Model:
    """What pydantic's models look like from outside."""

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    @classmethod
    def model_validate(cls, value: dict[str, Any]) -> Model:
        if value["n"] < 0:
            raise ValueError("n must not be negative")
        return cls(**value)


GOOD = '{"goal": "tea", "steps": [{"title": "boil"}, {"title": "pour", "minutes": 1}]}'
PLAN = Plan("tea", (Step("boil"), Step("pour", 1)))


def agent(script: list[Any], output: Any = Plan, **options: Any) -> tuple[Agent, ScriptedProvider]:
    provider = ScriptedProvider(*script)
    return Agent("ada", provider, output=output, **options), provider


def test_an_answer_is_an_instance_of_the_type() -> None:
    """What the model wrote as JSON comes back as the class, nested ones and defaults included."""
    ada, provider = agent([GOOD])

    reply = ada.send_sync("Plan tea.")

    assert PLAN == reply.output
    assert GOOD == reply.text
    assert 1 == len(provider.requests)


def test_the_model_is_told_the_schema_in_words_and_the_provider_as_data() -> None:
    """A provider that knows of no schemas can still be asked; one that does finds it in the request."""
    ada, provider = agent([GOOD])
    ada.send_sync("Plan tea.")
    (request,) = provider.requests

    assert request.output is not None
    assert {"goal", "steps"} == set(request.output["properties"])
    assert "fitting this JSON Schema" in request.instructions
    assert '"minutes"' in request.instructions


def test_without_a_type_nothing_is_asked_for() -> None:
    """An agent without output= sends no schema and gives no output."""
    ada, provider = agent(["Tea."], output=None)

    assert ada.send_sync("Plan tea.").output is None
    assert provider.requests[0].output is None
    assert "JSON" not in provider.requests[0].instructions


@pytest.mark.parametrize("text", [f"```json\n{GOOD}\n```", f"\n```\n{GOOD}\n```\n", f"  {GOOD}\n"])
def test_a_fence_around_the_answer_does_no_harm(text: str) -> None:
    """Models like to put JSON into a block of code."""
    assert PLAN == agent([text])[0].send_sync("Plan tea.").output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Here is the plan!", "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
        ('{"goal": "tea"}', "no 'steps', which is needed"),
        ('{"goal": 7, "steps": []}', "goal: expected text, found 7"),
        ('{"goal": "tea", "goal": "x", "steps": []}', "it is not JSON (the key 'goal' comes twice)"),
        ('{"goal": NaN, "steps": []}', "it is not JSON (NaN is no JSON number)"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_a_wrong_answer_is_repaired_once(text: str, told: str) -> None:
    """The model is told what is wrong with its answer and gives another."""
    ada, provider = agent([text, GOOD])

    reply = ada.send_sync("Plan tea.")

    assert PLAN == reply.output
    repair = provider.requests[1].messages[-1].text
    assert repair.startswith("That answer cannot be used: ")
    assert told in repair
    assert 2 == len(provider.requests)


def test_a_second_wrong_answer_fails_the_turn_and_leaves_the_session_alone() -> None:
    """One repair, then a sentence that says what was wrong."""
    ada, provider = agent(["no", "still no", GOOD])

    with pytest.raises(AgentFailedError, match="not what output= asks for, also after a repair: it is not JSON"):
        ada.send_sync("Plan tea.")

    assert 2 == len(provider.requests)
    assert 0 == ada.session_history_len


def test_tools_come_before_the_answer() -> None:
    """Only the final answer must fit; calls go on as always."""

    def look(at: str) -> str:
        """Look."""
        return f"{at} is hot"

    ada, _ = agent([call("look", at="kettle"), GOOD], tools=[look])
    reply = ada.send_sync("Plan tea.")

    assert (PLAN, 1) == (reply.output, reply.tool_calls)


def test_typed_dicts_and_plain_annotations_will_do() -> None:
    """A TypedDict stays a dict, a list of words a list."""
    assert {"text": "x"} == agent(['{"text": "x"}'], Note)[0].send_sync("Note.").output
    assert ["a", "b"] == agent(['["a", "b"]'], list[str])[0].send_sync("List.").output


def test_models_that_know_their_schema_and_validate_themselves() -> None:
    """Whoever brings pydantic uses its classes; what they refuse is repaired as anything else."""
    ada, provider = agent(['{"n": -1}', '{"n": 3}'], Model)
    output = ada.send_sync("Count.").output

    assert (Model, 3) == (type(output), output.n)
    assert "n must not be negative" in provider.requests[1].messages[-1].text


def test_generate_takes_a_type_of_its_own() -> None:
    """A single question may be typed; the agent itself stays as it was."""
    ada, provider = agent([GOOD, "free words"], None)

    async def main() -> tuple[Plan, str]:
        return await ada.generate("Plan tea.", Plan), await ada.generate("Talk.")

    assert (PLAN, "free words") == asyncio.run(main())
    assert [True, False] == [request.output is not None for request in provider.requests]
    assert 0 == ada.session_history_len


def test_a_typed_answer_in_a_team_is_heard_as_text_and_replayed() -> None:
    """Others hear the words; the result holds the object, also in a replay."""
    provider = ScriptedProvider("oops", GOOD, "Fine.")
    ada, bob = Agent("ada", provider, output=Plan), Agent("bob", provider)
    team = Orchestration([ada, bob], InTurn())

    async def main() -> tuple[Any, Any]:
        run = team.run("Plan tea.")
        result = await run
        return result, await team.replay(run.records)

    live, again = asyncio.run(main())
    heard: list[Request] = [request for request in provider.requests if "You are bob." in request.instructions]

    assert PLAN == live.messages[0].output
    assert live.messages == again.messages
    assert f"ada: {GOOD}" in heard[0].messages[0].text


@pytest.mark.parametrize("wrong", [object(), "Plan", lambda: 1, dict[int, str]])
def test_a_type_without_a_form_in_json_is_refused(wrong: Any) -> None:
    """At once, not when the first answer comes."""
    with pytest.raises(
        SettingsError, match=r"output: found .*, expected an attrs class, a TypedDict, a pydantic model"
    ):
        Agent("ada", ScriptedProvider(), output=wrong)


@given(st.text(), st.lists(st.tuples(st.text(), st.integers(-(2**53), 2**53))))
def test_whatever_json_says_is_read_exactly(goal: str, steps: list[tuple[str, int]]) -> None:
    """Encoding a value and reading it back gives the value."""
    text = json.dumps({"goal": goal, "steps": [{"title": title, "minutes": minutes} for title, minutes in steps]})

    assert Plan(goal, tuple(Step(*step) for step in steps)) == Shape.of(Plan).read(text)
