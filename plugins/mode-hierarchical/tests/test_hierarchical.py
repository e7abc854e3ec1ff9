"""Hierarchical, rehearsed with scripted agents and virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cloudllm_core import Completion, Limits, Request
from cloudllm_core.errors import AgentFailedError, LimitReachedError, Overloaded, SettingsError, SetupError
from cloudllm_core.events import AgentFailed, AgentSelected, Progress
from cloudllm_core.testing import ScriptedProvider, Show, rehearse, run_virtually, simulate, stage
from cloudllm_mode_hierarchical import Hierarchical, HierarchicalLayerFailed, cloudllm_register_mode

OUT = Overloaded("out of order", "scripted")
BEGINS = ["AgentSelected", "SendStarted", "LLMCallStarted"]
ENDS = ["LLMCallCompleted", "SendCompleted", "AgentResponded", "Progress"]
FAILS = ["LLMCallCompleted", "AgentFailed"]

FIRST = "You work in layer 1 of 3. The next layer will build on your result."
SECOND = (
    "You work in layer 2 of 3. Build on the results of the layers before, which you have heard. "
    "The next layer will build on your result."
)
THIRD = (
    "You work in layer 3 of 3. Build on the results of the layers before, which you have heard. "
    "What your layer replies is the answer."
)

Agents = Mapping[str, tuple[float, Sequence[Any]]]
"""Of each agent, how many seconds of virtual time it takes, and its lines."""


class Slow(ScriptedProvider):
    """Says each line after so many seconds of virtual time."""

    def __init__(self, seconds: float, *lines: Any) -> None:
        super().__init__(*lines)
        self.seconds = seconds

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self.seconds)
        return await super().complete(request)


def play(layers: Sequence[Sequence[str]], agents: Agents, **options: Any) -> Show:
    """A rehearsal in virtual time."""
    script = {name: Slow(seconds, *lines) for name, (seconds, lines) in agents.items()}
    return run_virtually(lambda loop: rehearse(Hierarchical(layers), script, "Go.", **options))


def texts(show: Show, agent: str) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.text) for m in request.messages] for request in show.providers[agent].requests]


# -- how a run goes -----------------------------------------------------------


def test_what_each_layer_hears():
    """An agent hears all layers before its own, in order of arrival, then the task and its layer's note; no mates."""
    show = play(
        [["ada", "bob"], ["cy", "dee"], ["eve"]],
        {"ada": (2, ["a1"]), "bob": (1, ["b1"]), "cy": (1, ["c1"]), "dee": (2, ["d1"]), "eve": (1, ["e1"])},
    )

    assert [[("user", f"Go.\n{FIRST}")]] == texts(show, "ada") == texts(show, "bob")
    assert [[("user", f"bob: b1\n\nada: a1\nGo.\n{SECOND}")]] == texts(show, "cy") == texts(show, "dee")
    assert [[("user", f"bob: b1\n\nada: a1\n\ncy: c1\n\ndee: d1\nGo.\n{THIRD}")]] == texts(show, "eve")
    assert ["bob", "ada", "cy", "dee", "eve"] == show.speakers


def test_an_agent_in_several_layers():
    """It hears what it missed since its own turn, never itself; notes are not kept, and the task is said once."""
    show = play([["ada", "bob"], ["cy"], ["ada"]], {"ada": (1, ["a1", "a2"]), "bob": (2, ["b1"]), "cy": (1, ["c1"])})

    assert [("user", "Go."), ("assistant", "a1"), ("user", f"bob: b1\n\ncy: c1\n{THIRD}")] == texts(show, "ada")[1]
    assert ["ada", "bob", "cy", "ada"] == show.speakers
    assert ("a2", True, 3) == (show.result.answer, show.result.complete, show.result.rounds)
    kept = [message.text for message in show.orchestration.agents[0].session.messages]
    assert ["Go.", "a1", "bob: b1\n\ncy: c1", "a2"] == kept


def test_an_agent_that_is_alone_in_all_layers():
    """Where nobody else has said anything, it is told to go on."""
    show = play([["ada"], ["ada"], ["ada"]], {"ada": (1, ["a1", "a2", "a3"])})

    assert [f"Go.\n{FIRST}", f"Go on.\n{SECOND}", f"Go on.\n{THIRD}"] == show.heard("ada")


def test_what_is_announced():
    """A layer is a round; all of it is selected before anybody answers, and each answer moves the bar."""
    show = play([["ada", "bob"], ["cy"]], {"ada": (1, ["a1"]), "bob": (2, ["b1"]), "cy": (1, ["c1"])})

    assert [
        "RunStarted",
        "RoundStarted", *BEGINS, *BEGINS, *ENDS, *ENDS, "RoundCompleted",
        "RoundStarted", *BEGINS, *ENDS, "RoundCompleted",
        "RunCompleted",
    ] == show.notebook.titles  # fmt: skip
    assert [
        ("ada", "hierarchical, layer 1"), ("bob", "hierarchical, layer 1"), ("cy", "hierarchical, layer 2"),
    ] == [(event.agent, event.reason) for event in show.notebook.events(AgentSelected)]  # fmt: skip
    assert [(1, 3), (2, 3), (3, 3)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]


def test_layers_work_in_parallel():
    """A layer takes as long as its slowest agent, and the next begins when it is done."""
    script = {"ada": Slow(5, "a1"), "bob": Slow(9, "b1"), "cy": Slow(3, "c1"), "dee": Slow(2, "d1")}
    make = lambda: stage(Hierarchical([["ada", "bob"], ["cy", "dee"]]), script)  # noqa: E731
    records = simulate(make, seed=0, latency=0).records

    assert 9 + 3 == records[-1].at - records[0].at


def test_one_reply_is_the_answer():
    """What the only agent of the last layer says is the answer, word for word; there is no score."""
    show = play([["ada"], ["bob"]], {"ada": (1, ["a1"]), "bob": (1, ["b1"])})

    assert ("b1", True, "completed", None, 2) == (
        show.result.answer, show.result.complete, show.result.stop_reason, show.result.score, show.result.rounds,
    )  # fmt: skip


def test_several_replies_are_put_side_by_side():
    """The answer holds the last layer's replies in order of arrival, each after its agent's name."""
    show = play([["ada"], ["bob", "cy"]], {"ada": (1, ["a1"]), "bob": (2, ["b1"]), "cy": (1, ["c1"])})

    assert "cy: c1\n\nbob: b1" == show.result.answer


def test_a_single_layer():
    """It is told that its reply is the answer, and of no other layer."""
    show = play([["ada"]], {"ada": (1, ["a1"])})

    assert ["Go.\nYou work in layer 1 of 1. What your layer replies is the answer."] == show.heard("ada")
    assert ("a1", True) == (show.result.answer, show.result.complete)


def test_agents_that_no_layer_names():
    """They are not asked, and hear nothing."""
    show = play([["bob"]], {"ada": (1, ["never"]), "bob": (1, ["b1"])})

    assert ["bob"] == show.asked
    assert () == show.orchestration.agents[0].session.messages


def test_a_second_run_goes_on_with_the_same_sessions():
    """Agents remember the first run, and hear of each layer's new results once."""

    async def main() -> Show:
        mode = Hierarchical([["ada"], ["bob"]])
        show = await rehearse(mode, {"ada": ["a1", "a2"], "bob": ["b1", "b2"]}, "Go.")
        result = await show.orchestration.run("Again.")
        assert ("b2", True, 2) == (result.answer, result.complete, result.rounds)
        return show

    show = asyncio.run(main())
    one = "You work in layer 1 of 2. The next layer will build on your result."
    two = (
        "You work in layer 2 of 2. Build on the results of the layers before, which you have heard. "
        "What your layer replies is the answer."
    )
    assert [("user", "Go."), ("assistant", "a1"), ("user", f"Again.\n{one}")] == texts(show, "ada")[1]
    assert [("user", "ada: a1\nGo."), ("assistant", "b1"), ("user", f"ada: a2\nAgain.\n{two}")] == texts(show, "bob")[1]


# -- when agents fail ---------------------------------------------------------


@pytest.mark.parametrize("position", range(4))
def test_an_agent_that_fails_is_missing_from_its_layer(position):
    """Wherever it sits, its mates' results go on to the next layer, and one of them is enough."""
    names = ["ada", "bob", "cy", "dee"]
    agents = {name: (1 + i, [OUT if i == position else f"{name}1"]) for i, name in enumerate(names)}
    show = play([names[:2], names[2:]], agents)

    spoke = [name for name in names if name != names[position]]
    assert (names, spoke) == (show.asked, show.speakers)
    assert (True, "completed", None) == (show.result.complete, show.result.stop_reason, show.result.error)
    last = [name for name in names[2:] if name in spoke]
    assert ("cy: cy1\n\ndee: dee1" if len(last) == 2 else f"{last[0]}1") == show.result.answer
    heard = "\n\n".join(f"{name}: {name}1" for name in names[:2] if name in spoke)
    assert [heard, heard] == [show.heard(name)[0].partition("\nGo.\n")[0] for name in names[2:]]
    assert [] == show.notebook.events(HierarchicalLayerFailed)


def test_the_bar_does_not_lag_after_a_failure():
    """Progress counts turns: those of a layer that is over are done, whether they brought anything or not."""
    show = play([["ada", "bob"], ["cy"]], {"ada": (1, [OUT]), "bob": (2, ["b1"]), "cy": (1, ["c1"])})

    assert [(1, 3), (3, 3)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]


def test_an_agent_that_failed_in_an_earlier_layer():
    """In a later one it hears the task, and all it missed; its failed turn is forgotten."""
    show = play([["ada", "bob"], ["cy"], ["ada"]], {"ada": (1, [OUT, "a2"]), "bob": (2, ["b1"]), "cy": (1, ["c1"])})

    assert [("user", f"bob: b1\n\ncy: c1\nGo.\n{THIRD}")] == texts(show, "ada")[1]
    assert ("a2", True) == (show.result.answer, show.result.complete)


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_layer_in_which_everybody_fails(failing):
    """It is announced, the run has failed, and nobody after it is asked; the answer is what the layer before said."""
    layers = [["ada", "bob"], ["cy", "dee"], ["eve", "fay"]]
    agents = {
        name: (1 + i, [OUT if number == failing else f"{name}1"])
        for number, layer in enumerate(layers, 1)
        for i, name in enumerate(layer)
    }
    show = play(layers, agents)

    assert [name for layer in layers[:failing] for name in layer] == show.asked
    assert (False, "failed", failing) == (show.result.complete, show.result.stop_reason, show.result.rounds)
    answers = {1: None, 2: "ada: ada1\n\nbob: bob1", 3: "cy: cy1\n\ndee: dee1"}
    assert answers[failing] == show.result.answer
    event = HierarchicalLayerFailed(layer=failing, layers=3, agents=tuple(layers[failing - 1]))
    assert [event] == show.notebook.events(HierarchicalLayerFailed)
    whole = ["RoundStarted", *BEGINS * 2, *ENDS * 2, "RoundCompleted"]
    broken = ["RoundStarted", *BEGINS * 2, *FAILS * 2, "HierarchicalLayerFailed", "RoundCompleted"]
    assert ["RunStarted", *whole * (failing - 1), *broken, "RunCompleted"] == show.notebook.titles


def test_nobody_answers():
    """If the first layer fails, the result says who failed, and why."""
    show = play([["ada"], ["bob"]], {"ada": (1, [OUT]), "bob": (1, ["never"])})

    assert isinstance(show.result.error, AgentFailedError)
    assert "Agent 'ada' failed: Overloaded: scripted: out of order." == str(show.result.error)


def test_stopping_on_failure():
    """With ``on_failure="stop"`` the first failure ends the run: mates are cancelled, no layer follows."""
    agents: Agents = {"ada": (1, [OUT]), "bob": (9, ["late"]), "cy": (1, ["never"])}
    show = play([["ada", "bob"], ["cy"]], agents, on_failure="stop")

    assert (["ada", "bob"], [], "failed") == (show.asked, show.speakers, show.result.stop_reason)
    assert "cancelled" == show.notebook.events(AgentFailed)[1].error


def test_layers_count_as_rounds():
    """A limit on rounds ends the run before the layer that would break it."""
    agents: Agents = {"ada": (1, ["a1"]), "bob": (1, ["never"])}
    show = play([["ada"], ["bob"]], agents, limits=Limits(rounds=1))

    assert (["ada"], "limit", False) == (show.asked, show.result.stop_reason, show.result.complete)
    assert isinstance(show.result.error, LimitReachedError)


# -- settings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (
            [["ada"], ["boob"]],
            "Layer 2 names 'boob', and no agent is called so (agents: ada, bob). Did you mean 'bob'?",
        ),
        ([["zoe", "ada"]], "Layer 1 names 'zoe', and no agent is called so (agents: ada, bob)."),
        ([["ada"], ["bob"], ["ada", ""]], "Layer 3 names '', and no agent is called so (agents: ada, bob)."),
    ],
)
def test_a_name_that_no_agent_has(layers, sentence):
    """Regression: an unknown name was found in the middle of a run; now nobody is asked, and no round begins."""
    show = play(layers, {"ada": (1, ["never"]), "bob": (1, ["never"])})

    assert isinstance(show.result.error, SetupError)
    assert sentence == str(show.result.error)
    assert ([], 0, "failed") == (show.asked, show.result.rounds, show.result.stop_reason)
    assert ["RunStarted", "RunFailed"] == show.notebook.titles


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([], "Hierarchical has no layers: give at least one, such as [['ada', 'bob'], ['cy']]."),
        ([[]], "Layer 1 is empty: name at least one agent, or leave the layer out."),
        ([["ada"], [], ["bob"]], "Layer 2 is empty: name at least one agent, or leave the layer out."),
        ([["ada"], ["bob", "cy", "bob"]], "Layer 2 names 'bob' twice: an agent takes one turn in a layer."),
    ],
)
def test_layers_that_cannot_be_led(layers, sentence):
    """Regression: a run without layers was complete; now it is refused when the mode is made, plain data or not."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Hierarchical(layers)
    with pytest.raises(SettingsError) as refused:
        Hierarchical.from_settings({"layers": layers})
    assert sentence == refused.value.hint


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("ada", "Hierarchical takes a list of layers such as [['ada', 'bob'], ['cy']], and not 'ada'."),
        (None, "Hierarchical takes a list of layers such as [['ada', 'bob'], ['cy']], and not None."),
        (["ada", "bob"], "Layer 1 is 'ada': give a list of agents' names, such as ['ada', 'bob']."),
        ([["ada"], [1]], "Layer 2 is [1]: give a list of agents' names, such as ['ada', 'bob']."),
        ([["ada"], {"bob"}], "Layer 2 is {'bob'}: give a list of agents' names, such as ['ada', 'bob']."),
    ],
)
def test_what_is_not_a_list_of_layers(layers, sentence):
    """Regression: a name is not taken for a list of letters, nor a set for a list."""
    with pytest.raises(TypeError) as refused:
        Hierarchical(layers)
    assert sentence == str(refused.value)


def test_layers_come_from_plain_data():
    """A team file's lists become layers, and back; what does not fit is named with its place."""
    mode = Hierarchical.from_settings({"layers": [["ada", "bob"], ["cy"]]})

    assert Hierarchical((("ada", "bob"), ("cy",))) == mode == Hierarchical([["ada", "bob"], ["cy"]])
    assert (("ada", "bob"), ("cy",)) == mode.layers
    assert {"layers": [["ada", "bob"], ["cy"]]} == mode.settings()
    assert Hierarchical is cloudllm_register_mode()
    for settings, sentence in [
        ({"layers": ["ada"]}, "layers[0]: found 'ada', expected a list."),
        ({"layers": [["ada", 3]]}, "layers[0][1]: found 3, expected text."),
        ({}, "hierarchical: found no 'layers', expected 'layers', which 'hierarchical' needs."),
    ]:
        with pytest.raises(SettingsError) as refused:
            Hierarchical.from_settings(settings)
        assert sentence == str(refused.value)
    with pytest.raises(SettingsError, match="Did you mean 'layers'"):
        Hierarchical.from_settings({"layer": [["ada"]]})
