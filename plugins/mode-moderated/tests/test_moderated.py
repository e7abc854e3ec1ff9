"""Moderated, rehearsed with scripted agents."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Agent, Orchestration, Registry, validate_history
from cloudllm_core.errors import Overloaded, SettingsError, SetupError
from cloudllm_core.events import AgentFailed, AgentSelected, Progress, ToolExecutionCompleted
from cloudllm_core.testing import ScriptedProvider, Show, call, rehearse
from cloudllm_mode_moderated import Moderated, SpeakerChosen, cloudllm_register_mode

OUT = Overloaded("out of order", "scripted")
HOW = (
    "Do not answer the user yourself now. Choose who speaks next: call choose_speaker with a name and your reason "
    "(or, without tools, answer with the name and nothing else)."
)
SUM_UP = (
    "The discussion is over. Answer the user now: bring together what the experts said, and say where they disagree."
)
WAITED = "nobody was chosen, and it has waited longest"
NOTHING_ELSE = "Your answer is not the name of an expert and nothing else."
CALLED = ["LLMCallStarted", "LLMCallCompleted"]
BEGINS, ENDS = ["AgentSelected", "SendStarted", *CALLED], ["SendCompleted", "AgentResponded"]
TOOL = ["ToolCallDetected", "ToolExecutionCompleted"]


def choose(name: str, reason: str = "it knows") -> Any:
    return call("choose_speaker", name=name, reason=reason)


def invitation(number: int, rounds: int, *experts: str) -> str:
    lines = "\n".join(f"- {expert}" for expert in experts)
    return f"You are the moderator, and this is round {number} of {rounds}. The experts:\n{lines}\n\n{HOW}"


def play(mode: Moderated, script: dict[str, Any], **options: Any) -> Show:
    return asyncio.run(rehearse(mode, script, "What now?", **options))


def texts(show: Show, agent: str) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.text) for m in request.messages] for request in show.providers[agent].requests]


def chosen(show: Show) -> list[tuple[str, str, bool]]:
    return [(event.agent, event.reason, event.understood) for event in show.notebook.events(SpeakerChosen)]


def results(show: Show) -> list[str | None]:
    """What the tool calls gave, in order."""
    return [event.result or event.error for event in show.notebook.events(ToolExecutionCompleted)]


# -- how a run goes -----------------------------------------------------------


def test_a_discussion():
    """The moderator chooses, the expert speaks, round by round; the synthesis is the answer."""
    mod = [choose("bob", "tides"), "Bob, please.", choose("ada", "sails"), "Ada?", "Leave at six."]
    show = play(Moderated("mod", rounds=2), {"mod": mod, "ada": "Reef early.", "bob": "Dry at noon.", "cy": "never"})

    assert ["mod", "bob", "mod", "ada", "mod"] == show.asked == show.speakers
    assert [("bob", "tides", True), ("ada", "sails", True)] == chosen(show)
    assert ("Leave at six.", True, "completed", None, 2) == (
        show.result.answer, show.result.complete, show.result.stop_reason, show.result.score, show.result.rounds,
    )  # fmt: skip


def test_what_is_announced():
    """Regression: this mode announced nothing. Every selection has its reason, every round moves the bar."""
    show = play(Moderated("mod"), {"mod": [choose("ada", "sails"), "Ada?", "Leave."], "ada": "Reef."})

    assert [
        "RunStarted", "RoundStarted",
        *BEGINS, *TOOL, *CALLED, *ENDS, "SpeakerChosen",
        *BEGINS, *ENDS, "Progress", "RoundCompleted",
        *BEGINS, *ENDS, "Progress", "RunCompleted",
    ] == show.notebook.titles  # fmt: skip
    reasons = [(event.agent, event.reason) for event in show.notebook.events(AgentSelected)]
    assert [("mod", "chooses a speaker, round 1"), ("ada", "sails"), ("mod", "synthesis")] == reasons
    assert [(1, 2), (2, 2)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]
    (event,) = show.notebook.events(SpeakerChosen)
    assert SpeakerChosen(moderator="mod", agent="ada", reason="sails", understood=True) == event


def test_what_is_routed_to_each_agent():
    """The prompt once, what others said aloud, and a note for the turn that no session keeps; never a tool call."""
    mod = [[choose("ada", "sails")], "Ada, please.", [choose("bob", "tides")], "Now Bob.", "Leave at six."]
    show = play(Moderated("mod", rounds=2), {"mod": mod, "ada": "Reef early.", "bob": "Dry at noon."})

    first, second = (invitation(number, 2, "ada", "bob") for number in (1, 2))
    turns = texts(show, "mod")
    assert [("user", f"What now?\n{first}")] == turns[0]
    kept = [("user", "What now?"), ("assistant", ""), ("tool", ""), ("assistant", "Ada, please.")]
    assert [*kept, ("user", f"ada: Reef early.\n{second}")] == turns[2]
    kept += [("user", "ada: Reef early."), ("assistant", ""), ("tool", ""), ("assistant", "Now Bob.")]
    assert [*kept, ("user", f"bob: Dry at noon.\n{SUM_UP}")] == turns[4]
    note = "mod, the moderator, gave you the floor: sails"
    assert [[("user", f"mod: Ada, please.\nWhat now?\n{note}")]] == texts(show, "ada")
    news = "mod: Ada, please.\n\nada: Reef early.\n\nmod: Now Bob."
    note = "mod, the moderator, gave you the floor: tides"
    assert [[("user", f"{news}\nWhat now?\n{note}")]] == texts(show, "bob")


def test_the_moderator_knows_who_is_good_at_what():
    """It is told each expert's name and expertise, in the order of the agents, and not its own."""
    providers = {name: ScriptedProvider("ada", "The end.") for name in ("ada", "mod", "bob")}
    expertise = {"ada": "ropes and sails", "mod": "fairness"}
    registry = Registry.of()
    agents = [Agent(name, p, expertise=expertise.get(name, ""), registry=registry) for name, p in providers.items()]
    result = Orchestration(agents, Moderated("mod"), registry=registry).run_sync("What now?")

    assert result.complete
    asked = providers["mod"].requests[0].messages[-1].text
    assert f"What now?\n{invitation(1, 1, 'ada: ropes and sails', 'bob')}" == asked


def test_without_a_synthesis():
    """The run is complete when an expert spoke; the answer is what an expert said last."""
    script = {"mod": ["ada", "bob"], "ada": "Reef early.", "bob": OUT}
    show = play(Moderated("mod", rounds=2, synthesize=False), script)

    assert ["mod", "ada", "mod"] == show.speakers
    assert ("Reef early.", True, "completed") == (
        show.result.answer, show.result.complete, show.result.stop_reason,
    )  # fmt: skip
    assert [(1, 2), (2, 2)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]


# -- what counts as a choice --------------------------------------------------


def test_a_wrong_name_is_mended_within_the_turn():
    """The tool answers with the experts there are; no second turn is needed."""
    show = play(
        Moderated("mod"), {"mod": [choose("bop"), choose("bob", "tides"), "Bob.", "End."], "ada": "-", "bob": "b1"}
    )

    assert ["No expert is called 'bop' (experts: ada, bob). Did you mean 'bob'?",
            "'bob' speaks after this turn of yours."] == results(show)  # fmt: skip
    assert (["mod", "bob", "mod"], [("bob", "tides", True)]) == (show.asked, chosen(show))


def test_the_moderator_cannot_choose_itself():
    """It is no expert, neither by tool nor by name."""
    show = play(Moderated("mod"), {"mod": [choose("mod"), "mod", "mod", "End."], "ada": "a1"})

    assert ["No expert is called 'mod' (experts: ada)."] == results(show)
    assert (["mod", "mod", "ada", "mod"], [("ada", WAITED, False)]) == (show.asked, chosen(show))


def test_it_is_asked_once_more():
    """If there is no choice after its turn, it is told what was wrong, and may choose again."""
    script = {"mod": [choose("zoe"), "Zoe, please.", choose("ada", "sails"), "Ada.", "End."], "ada": "a1", "bob": "-"}
    show = play(Moderated("mod"), script)

    assert ["mod", "mod", "ada", "mod"] == show.asked
    assert [("ada", "sails", True)] == chosen(show)
    wrong = "You have not chosen anybody. No expert is called 'zoe' (experts: ada, bob)."
    assert f"Go on.\n{wrong}\n\n{invitation(1, 1, 'ada', 'bob')}" == show.heard("mod")[2]
    reasons = [event.reason for event in show.notebook.events(AgentSelected)]
    assert ["chooses a speaker, round 1", "chooses again, round 1", "sails", "synthesis"] == reasons
    said = "mod: Zoe, please.\n\nmod: Ada.\nWhat now?\nmod, the moderator, gave you the floor: sails"
    assert [said] == show.heard("ada")


def test_who_has_waited_longest_speaks_if_nobody_is_chosen():
    """After two turns without a choice; the event and the expert's note say that nobody was chosen."""
    chatter = ["Hm.", "Let me see.", "ada", "Perhaps ada.", "Or ada?", "So.", "Well.", "End."]
    show = play(Moderated("mod", rounds=4), {"mod": chatter, "ada": ["a1", "a2"], "bob": "b1", "cy": "c1"})

    waited = [(name, WAITED, False) for name in ("ada", "bob", "cy")]
    assert [waited[0], ("ada", "", True), *waited[1:]] == chosen(show)
    assert ["mod", "mod", "ada", "mod", "ada", "mod", "mod", "bob", "mod", "mod", "cy", "mod"] == show.asked
    note = "Nobody was chosen, and you have waited longest: you have the floor."
    assert f"mod: Hm.\n\nmod: Let me see.\nWhat now?\n{note}" == show.heard("ada")[0]
    assert f"Go on.\nYou have not chosen anybody. {NOTHING_ELSE}\n\n" in show.heard("mod")[1]
    assert WAITED in [event.reason for event in show.notebook.events(AgentSelected)]


def test_a_name_and_nothing_else_is_a_choice():
    """For models without tools; spaces around it do not matter, and it gives no reason."""
    show = play(Moderated("mod"), {"mod": ["  bob\n", "End."], "ada": "-", "bob": "b1"})

    assert ([("bob", "", True)], ["mod", "bob", "mod"]) == (chosen(show), show.asked)
    assert ["mod:   bob\n\nWhat now?\nmod, the moderator, gave you the floor."] == show.heard("bob")
    assert "chosen by mod" == show.notebook.events(AgentSelected)[1].reason


@pytest.mark.parametrize("said", ["Bob", "bob.", "**bob**", "I choose bob", "bob, ada", "bob\nada", "mod", "", "@bob"])
def test_a_name_among_other_words_is_none(said):
    """Nothing is concluded from prose: other letters, other words or another case choose nobody."""
    show = play(Moderated("mod"), {"mod": [said, said, "End."], "ada": "a1", "bob": "-"})

    assert ([("ada", WAITED, False)], ["mod", "mod", "ada", "mod"]) == (chosen(show), show.asked)


@pytest.mark.parametrize("how", [choose, lambda name: name], ids=["tool", "text"])
@pytest.mark.parametrize("name", ["Ann", "Anna", "Hannah"])
@pytest.mark.parametrize("order", [["Ann", "Anna", "Hannah"], ["Hannah", "Anna", "Ann"]])
def test_names_inside_other_names(order, name, how):
    """Regression: "Anna" gave the floor to "Ann", whose name it contains."""
    mod = [how(name), *(["Please."] if how is choose else []), "End."]
    show = play(Moderated("mod"), {"mod": mod, **{expert: f"{expert} speaks" for expert in order}})

    assert ["mod", name, "mod"] == show.speakers
    assert [True] == [event.understood for event in show.notebook.events(SpeakerChosen)]


@given(st.text().filter(lambda text: text.strip() not in ("Ann", "Anna")))
def test_other_text_chooses_nobody(text):
    """Whatever is said that is not exactly a name, the floor goes to who has waited longest."""
    show = play(Moderated("mod"), {"mod": [text, text, "End."], "Ann": "a", "Anna": "b"})

    assert [("Ann", WAITED, False)] == chosen(show)


def test_the_first_choice_of_a_round_counts():
    """Of two calls at once, or one after the other, the first is the choice; the model is told."""
    mod = [[choose("bob", "first"), choose("ada", "second")], choose("cy"), "ada", "End."]
    show = play(Moderated("mod"), {"mod": mod, "ada": "-", "bob": "b1", "cy": "-"})

    assert [("bob", "first", True)] == chosen(show)
    already = "You gave the floor to 'bob' already; the next choice comes in the next round."
    assert ["'bob' speaks after this turn of yours.", already, already] == results(show)


def test_the_tool_needs_a_reason():
    """A call without one is refused before anything is chosen; one of spaces is no reason to pass on."""
    mod = [call("choose_speaker", name="ada"), choose(" bob ", "  "), "So.", "End."]
    show = play(Moderated("mod"), {"mod": mod, "ada": "-", "bob": "b1"})

    assert "reason" in show.providers["mod"].requests[1].messages[-1].tool_results[0].content
    assert [("bob", "", True)] == chosen(show)


def test_the_tool_is_offered_for_the_choice_only():
    """Neither for the synthesis nor to the experts, and agents lose it with the turn."""
    show = play(Moderated("mod"), {"mod": ["ada", "End."], "ada": "a1"})

    offered = [[tool.name for tool in request.tools] for request in show.providers["mod"].requests]
    assert [["choose_speaker"], []] == offered
    assert () == show.providers["ada"].requests[0].tools
    assert () == show.orchestration.agents[0].list_tools()


# -- when agents fail ---------------------------------------------------------


def test_a_moderator_that_fails():
    """It is not asked again in that round: who has waited longest speaks, and the next round goes on as usual."""
    show = play(Moderated("mod", rounds=2), {"mod": [OUT, "ada", "End."], "ada": ["a1", "a2"], "bob": "-"})

    assert ["mod", "ada", "mod", "ada", "mod"] == show.asked
    assert [("ada", WAITED, False), ("ada", "", True)] == chosen(show)
    assert ("End.", True) == (show.result.answer, show.result.complete)


def test_a_moderator_that_fails_when_asked_again():
    """The second attempt may fail as the first may."""
    show = play(Moderated("mod"), {"mod": ["Hm.", OUT, "End."], "ada": "a1"})

    assert (["mod", "mod", "ada", "mod"], [("ada", WAITED, False)]) == (show.asked, chosen(show))
    assert show.result.complete


def test_a_turn_that_fails_after_the_choice():
    """The choice stands, as the moderator's session says, and is not asked for again."""
    show = play(Moderated("mod"), {"mod": [choose("bob", "tides"), OUT, "End."], "ada": "-", "bob": "b1"})

    assert (["mod", "bob", "mod"], [("bob", "tides", True)]) == (show.asked, chosen(show))
    assert [("mod", True)] == [(event.agent, event.kept) for event in show.notebook.events(AgentFailed)]
    validate_history(show.orchestration.agents[0].session.messages)


def test_a_synthesis_that_fails():
    """The run is not complete; what an expert said last is kept as its answer."""
    for last in (OUT, "  "):
        show = play(Moderated("mod"), {"mod": ["ada", last], "ada": "Reef early."})

        assert (False, "failed", "Reef early.") == (
            show.result.complete, show.result.stop_reason, show.result.answer,
        )  # fmt: skip
        assert [(1, 2)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]


@pytest.mark.parametrize("position", range(3))
def test_an_expert_that_fails_loses_its_turn(position):
    """Wherever it comes, the others speak, all are told what was said, and the synthesis is given."""
    names = ["ada", "bob", "cy"]
    script = {name: OUT if i == position else f"{name} says" for i, name in enumerate(names)}
    show = play(Moderated("mod", rounds=3), {"mod": [*names, "End."], **script})

    others = [name for i, name in enumerate(names) if i != position]
    assert others == [name for name in show.speakers if name != "mod"]
    assert [(name, "", True) for name in names] == chosen(show)
    assert ("End.", True, "completed") == (show.result.answer, show.result.complete, show.result.stop_reason)


def test_an_expert_that_fails_goes_to_the_end_of_the_queue():
    """Failing is a turn: it does not get the floor again and again before others had it."""
    show = play(Moderated("mod", rounds=3), {"mod": [OUT, OUT, OUT, "End."], "ada": [OUT, "a2"], "bob": "b1"})

    assert ["ada", "bob", "ada"] == [agent for agent, _, _ in chosen(show)]
    assert ["bob", "ada", "mod"] == show.speakers


def test_no_expert_speaks():
    """There is nothing to sum up: the moderator is not asked to, and the run has failed."""
    show = play(Moderated("mod", rounds=2), {"mod": ["ada", "bob", "never"], "ada": OUT, "bob": OUT})

    assert ["mod", "ada", "mod", "bob"] == show.asked
    assert (False, "failed") == (show.result.complete, show.result.stop_reason)


def test_failures_abort_nothing_and_lose_nobody():
    """Regression: a failing moderator or expert aborted the run, was lost to the team, and broke the next run."""

    async def main() -> None:
        script = {"mod": [OUT, "bob", "End.", "ada", "The end."], "ada": [OUT, "a2"], "bob": "b1"}
        show = await rehearse(Moderated("mod", rounds=2), script, "What now?")
        assert (True, "End.", None) == (show.result.complete, show.result.answer, show.result.error)
        assert ["mod", "ada", "bob"] == [agent.name for agent in show.orchestration.agents]
        assert ["mod", "ada"] == [event.agent for event in show.notebook.events(AgentFailed)]

        show.orchestration.mode = Moderated("mod")
        again = await show.orchestration.run("And then?")
        assert ["mod", "ada", "mod"] == [reply.agent for reply in again.messages]
        assert (True, "The end.") == (again.complete, again.answer)

    asyncio.run(main())


@pytest.mark.parametrize(("script", "asked"), [
    ({"mod": OUT, "ada": "never"}, ["mod"]),
    ({"mod": ["Hm.", OUT], "ada": "never"}, ["mod", "mod"]),
    ({"mod": ["ada", "never"], "ada": OUT}, ["mod", "ada"]),
    ({"mod": ["ada", OUT], "ada": "a1"}, ["mod", "ada", "mod"]),
])  # fmt: skip
def test_stopping_on_failure(script, asked):
    """With ``on_failure="stop"`` nobody is asked after the first failure."""
    show = play(Moderated("mod"), script, on_failure="stop")

    assert (asked, "failed", False) == (show.asked, show.result.stop_reason, show.result.complete)


# -- run after run ------------------------------------------------------------


def test_a_second_run_goes_on_with_the_same_sessions():
    """Agents remember the first run; who waited longest is counted anew."""

    async def main() -> Show:
        script = {"mod": ["ada", "End.", OUT, "The end."], "ada": ["a1", "a2"], "bob": "-"}
        show = await rehearse(Moderated("mod"), script, "What now?")
        again = await show.orchestration.run("And then?")
        assert ["ada", "mod"] == [reply.agent for reply in again.messages]
        assert "The end." == again.answer
        return show

    show = asyncio.run(main())
    assert [("ada", "", True), ("ada", WAITED, False)] == chosen(show)
    note = "Nobody was chosen, and you have waited longest: you have the floor."
    assert [("user", "mod: ada\nWhat now?"), ("assistant", "a1"), ("user", f"And then?\n{note}")] == (
        texts(show, "ada")[1]
    )


# -- settings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("agents", "sentence"),
    [
        (["mod", "ada"], "Moderated: no agent is called 'mdo' (agents: mod, ada). Did you mean 'mod'?"),
        (["ada", "bob"], "Moderated: no agent is called 'mdo' (agents: ada, bob). Name one of them."),
        (["mdo"], "Moderated: 'mdo' has nobody to give the floor to. Add another agent."),
    ],
)
def test_teams_that_cannot_be_moderated(agents, sentence):
    """A moderator that is no agent or has no experts is named before anybody is asked."""
    show = play(Moderated("mdo"), dict.fromkeys(agents, "never"))

    assert isinstance(show.result.error, SetupError)
    assert sentence == str(show.result.error)
    assert ([], "failed", 0) == (show.asked, show.result.stop_reason, show.result.rounds)


def test_what_it_is_made_from():
    """A moderator, one round, a synthesis; other values are refused with a sentence."""
    mode = Moderated.from_settings({"moderator": "mod", "rounds": 3, "synthesize": False})

    assert Moderated("mod", rounds=3, synthesize=False) == mode == Moderated.from_settings(mode.settings())
    assert Moderated("mod", rounds=1, synthesize=True) == Moderated.from_settings({"moderator": "mod"})
    assert Moderated is cloudllm_register_mode()
    assert "moderated" == Moderated.name
    with pytest.raises(SettingsError, match="no 'moderator'"):
        Moderated.from_settings({})
    with pytest.raises(SettingsError, match="Did you mean 'synthesize'"):
        Moderated.from_settings({"moderator": "mod", "synthesise": True})
    with pytest.raises(SettingsError, match="rounds: found 0, expected at least 1"):
        Moderated.from_settings({"moderator": "mod", "rounds": 0})
    with pytest.raises(SettingsError, match="moderator"):
        Moderated.from_settings({"moderator": 3})


def test_a_team_file_names_its_moderator():
    """The mode by name, with its settings, as plain data."""
    table = {"name": "moderated", "moderator": "mod", "rounds": 2}
    team = {"mode": table, "agents": [{"name": name, "model": ScriptedProvider("-")} for name in ("mod", "ada")]}

    assert Moderated("mod", rounds=2) == Orchestration.from_settings(team).mode
