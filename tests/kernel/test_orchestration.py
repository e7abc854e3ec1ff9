"""Orchestrations: agents, a mode, sinks and limits, put together by hand or from plain data."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import Agent, Hub, Limits, Mode, Orchestration, Outcome, Registry, hookimpl
from cloudllm_core.errors import SettingsError, SetupError, UnknownNameError
from cloudllm_core.testing import Notebook, ScriptedProvider, stage
from tests.kernel.stories import InTurn, alone


class Parrot(ScriptedProvider):
    """A model with settings, for team files."""

    name: ClassVar[str] = "parrot"

    def __init__(self, says: str = "Hello.") -> None:
        super().__init__(says, repeat=True)
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


@attrs.frozen
class Listed(Mode):
    """A mode with a table of its own."""

    name: ClassVar[str] = "listed"
    tables: ClassVar[tuple[str, ...]] = ("tasks",)
    tasks: list[dict[str, str]] = attrs.Factory(list)

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        for task in self.tasks:
            await hub.ask(hub.agents[0], task["title"])
        return Outcome(complete=True)


class Offers:
    """A plugin of everything that a team file may name."""

    @hookimpl
    def cloudllm_register_provider(self) -> type[Parrot]:
        return Parrot

    @hookimpl
    def cloudllm_register_mode(self) -> type[InTurn]:
        return InTurn

    @hookimpl
    def cloudllm_register_event_sink(self) -> type[Notebook]:
        return Notebook


class More:
    """Another plugin with another mode."""

    @hookimpl
    def cloudllm_register_mode(self) -> type[Listed]:
        return Listed


def registry() -> Registry:
    return Registry.of(Offers(), More())


TEAM: dict[str, Any] = {
    "mode": {"name": "in-turn", "rounds": 2},
    "system_context": "You are a team.",
    "sinks": ["notebook"],
    "limits": {"calls": 9},
    "agents": [
        {"name": "ada", "model": "parrot:m1", "instructions": "Be kind."},
        {"name": "bob", "model": {"name": "parrot:m2", "says": "Bye."}, "max_tool_calls": 3},
    ],
}


def made(**changes: Any) -> Orchestration:
    settings = {**TEAM, **changes}
    given = {key: value for key, value in settings.items() if value is not None}
    return Orchestration.from_settings(given, registry=registry())


# -- agents -------------------------------------------------------------------


def test_agents_come_and_go_between_runs() -> None:
    """Each run works with those that are there when it begins."""
    orchestration = stage(InTurn(), {"ada": ["A"] * 3, "bob": ["B"] * 3})
    eve = Agent("eve", ScriptedProvider("E"), registry=orchestration.registry)

    assert ["ada", "bob"] == [reply.agent for reply in orchestration.run_sync("x").messages]
    orchestration.add_agent(eve)
    bob = orchestration.remove_agent("bob")
    assert ["ada", "eve"] == [reply.agent for reply in orchestration.run_sync("x").messages]
    assert "bob" == bob.name
    assert 2 == bob.session_history_len


def test_an_agent_removed_while_a_run_goes_on_stays_in_that_run() -> None:
    """Its session is given back at the end."""

    async def main() -> Any:
        orchestration = stage(InTurn(), {"ada": "A", "bob": "B"})
        run = orchestration.run("x")
        bob = orchestration.remove_agent("bob")
        return await run, bob

    result, bob = alone(main)
    assert ["ada", "bob"] == [reply.agent for reply in result.messages]
    assert (None, []) == (bob.session.holder, bob.parts)


def test_two_agents_of_one_name_are_refused() -> None:
    """Their words could not be told apart."""
    ada = Agent("ada", ScriptedProvider(), registry=Registry.of())

    with pytest.raises(SetupError) as caught:
        Orchestration([ada, ada.fork()], InTurn(), registry=Registry.of())
    expected = "Two agents are called 'ada'; their words could not be told apart. Rename one."
    assert expected == str(caught.value)


def test_removing_nobody_names_the_near_miss() -> None:
    """A typo is told."""
    with pytest.raises(SetupError) as caught:
        stage(InTurn(), {"ada": "A"}).remove_agent("adda")
    assert "No agent is called 'adda'. Did you mean 'ada'?" == str(caught.value)


def test_closing_closes_the_providers_and_the_orchestration_can_run_again() -> None:
    """Connections open when they are needed."""
    orchestration = made()
    orchestration.run_sync("x")
    asyncio.run(orchestration.aclose())

    assert [1, 1] == [agent.provider.closed for agent in orchestration.agents]  # type: ignore[attr-defined]
    assert orchestration.run_sync("x").complete


def test_words_of_the_user_that_are_no_choice_are_told() -> None:
    """`on_failure` is one of two words."""
    with pytest.raises(SettingsError) as caught:
        stage(InTurn(), {"ada": "A"}, on_failure="stopp")
    assert "on_failure: found 'stopp', expected 'continue' or 'stop'. Did you mean 'stop'?" == str(caught.value)


# -- plain data ---------------------------------------------------------------


def test_a_team_of_plain_data_is_built_and_runs() -> None:
    """Modes, sinks, models and limits by name or by table."""
    team = made()
    result = team.run_sync("Begin.")

    assert InTurn(2) == team.mode
    assert Limits(calls=9) == team.limits
    assert ["Hello.", "Bye."] * 2 == [reply.text for reply in result.messages]
    assert "You are ada.\n\nBe kind.\n\nYou are a team." == team.agents[0].system_prompt(team.system_context)
    assert ("m2", 3) == (team.agents[1].model, team.agents[1].max_tool_calls)
    assert ["notebook"] == [report.name for report in result.sinks]


def test_a_table_of_its_own_goes_to_the_mode() -> None:
    """`Mode.tables` names the top-level tables that belong to it."""
    team = made(mode="listed", tasks=[{"title": "one"}, {"title": "two"}])

    assert ["one", "two"] == [task["title"] for task in team.mode.tasks]  # type: ignore[attr-defined]
    assert 2 == len(team.run_sync("x").messages)


def test_agents_with_the_same_options_share_a_provider() -> None:
    """One connection, not one per agent."""
    agents = [{"name": name, "model": "parrot:m1"} for name in ("a", "b")]
    one, other = made(agents=agents).agents

    assert one.provider is other.provider


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"mode": None}, "mode: found none, expected the name of a mode (in-turn, listed).", ""),
    ({"mode": 7}, "mode: found 7, expected the name of a mode (in-turn, listed).", ""),
    ({"mode": {"name": "in-turn", "round": 2}}, "round", "Did you mean 'rounds'?"),
    ({"agents": None}, "agents: found none, expected at least one [[agents]] table.", ""),
    ({"agents": "ada"}, "agents: found 'ada', expected at least one [[agents]] table.", ""),
    ({"agents": ["ada"]}, "agents[0]: found 'ada', expected a table.", ""),
    ({"agents": [{"name": "ada"}]}, "agents[0]: found no 'model', expected 'model', which 'Agent' needs.", ""),
    ({"agents": [{"name": "a/b", "model": "parrot:m"}]}, "agents[0].name: found 'a/b' with '/' in it", ""),
    ({"agents": [{"name": "ada", "model": "parrot"}]}, "agents[0].model: found 'parrot'", "'provider:model'"),
    ({"agents": [{"name": "ada", "model": "parrot:m", "tols": []}]}, "agents[0].tols", "Did you mean 'tools'?"),
    ({"agents": [{"name": "ada", "model": "parrot:m", "limits": {}}]}, "agents[0].limits", "top level"),
    ({"limit": {}}, "limit: found the unknown key 'limit'", "Did you mean 'limits'?"),
    ({"limits": {"calls": 0}}, "limits", "a limit is a number above 0"),
    ({"tasks": []}, "tasks: found the unknown key 'tasks'", ""),
    ({"name": 7}, "name: found 7, expected text.", ""),
    ({"sinks": "notebook"}, "sinks: found 'notebook', expected a list of sinks.", ""),
    ({"sinks": [{"name": "notebook", "path": "x"}]}, "sinks[0]", "path"),
]


@pytest.mark.parametrize(("changes", "beginning", "more"), MISTAKES, ids=[str(mistake[0]) for mistake in MISTAKES])
def test_a_mistake_in_plain_data_is_told_with_its_place(changes: dict[str, Any], beginning: str, more: str) -> None:
    """The key, what was found, what was expected, and the near miss."""
    with pytest.raises(SettingsError) as caught:
        made(**changes)

    assert beginning in str(caught.value)
    assert more in str(caught.value)


def test_a_name_that_nobody_offers_is_told_with_the_near_miss() -> None:
    """Of modes, sinks, tools and models alike."""
    with pytest.raises(UnknownNameError, match="No mode is called 'in-torn'.*Did you mean 'in-turn'?"):
        made(mode="in-torn")
    with pytest.raises(UnknownNameError, match="No event.sink is called 'notebok'.*Did you mean 'notebook'?"):
        made(sinks=["notebok"])


def test_the_given_data_is_not_changed() -> None:
    """A table may be used again."""
    import copy

    before = copy.deepcopy(TEAM)
    made()
    assert before == TEAM
