"""
All seven modes in one file: ``python docs/examples/orchestration_demo.py``, or with the names of some of them.

The models play scripts, so this costs nothing and always says the same. To see real ones at work, change
the one line that defines `MODEL`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from cloudllm import (
    Agent,
    AgentTeams,
    Debate,
    Hierarchical,
    Moderated,
    Orchestration,
    Parallel,
    Ralph,
    RalphTask,
    RoundRobin,
    WorkItem,
)
from cloudllm_core import RunResult
from cloudllm_core.testing import ScriptedProvider, call

MODEL: str | None = None  # or "openai:gpt-5.6", with your key in OPENAI_API_KEY


def agent(name: str, *lines: Any, **options: Any) -> Agent:
    """An agent whose model is `MODEL`, or plays *lines*."""
    return Agent(name, MODEL or ScriptedProvider(*lines), **options)


def parallel() -> RunResult:
    """Everybody answers at once; the most frequent answer wins."""
    agents = [agent("ada", "Tuesday"), agent("bob", "Monday"), agent("cy", "Tuesday.")]
    return Orchestration(agents, Parallel(aggregate="vote")).run_sync("On which day do we sail? Answer with one word.")


def round_robin() -> RunResult:
    """In turn, each hearing what was said before."""
    agents = [agent("ada", "Moonfall?"), agent("bob", "Moons do not fall. Starfall!")]
    return Orchestration(agents, RoundRobin()).run_sync("Name a game in which stars fall. One line each.")


def moderated() -> RunResult:
    """A moderator who knows what everybody is good at gives the floor, and sums up."""
    choice = call("choose_speaker", name="bob", reason="It is about tides.")
    agents = [
        agent("mod", choice, "Bob, please.", "Leave at six, before the harbour runs dry."),
        agent("ada", "The sails are mended.", expertise="ropes and sails"),
        agent("bob", "The harbour runs dry at noon.", expertise="tides"),
    ]
    return Orchestration(agents, Moderated("mod")).run_sync("When should we leave? Be brief.")


def hierarchical() -> RunResult:
    """Layers of agents, each building on the results of the layers before."""
    agents = [
        agent("scout", "Two reefs in the north."),
        agent("reader", "The chart ends at the second reef."),
        agent("captain", "Then we go round by the south."),
    ]
    layers = [["scout", "reader"], ["captain"]]
    return Orchestration(agents, Hierarchical(layers)).run_sync("Which way do we go? One sentence each.")


def debate() -> RunResult:
    """They argue until they agree."""
    agents = [
        agent("ada", "We sail at dawn.", "We sail at noon, with the tide."),
        agent("bob", "The tide comes at noon.", "Yes: we sail at noon, with the tide."),
    ]
    mode = Debate(max_rounds=3, convergence_threshold=0.7)
    return Orchestration(agents, mode).run_sync("When do we sail? One short sentence.")


def ralph() -> RunResult:
    """A checklist, worked off until every task is done."""
    tasks = [RalphTask("sails", "Mend the sails"), RalphTask("water", "Fill the casks", after=("sails",))]
    agents = [
        agent("ada", call("complete_task", id="sails", evidence="three patches"), "The sails are whole."),
        agent("bob", call("complete_task", id="water", evidence="twelve casks"), "The casks are full."),
    ]
    return Orchestration(agents, Ralph(tasks)).run_sync("Make the ship ready. Complete the tasks with the tool.")


def agent_teams() -> RunResult:
    """A pool of tasks; agents claim one each, and work at the same time."""
    tasks = [WorkItem("sails", "Mend the sails"), WorkItem("water", "Fill the casks")]
    agents = [
        agent(name, call("claim_task", id=task), call("complete_task", id=task, result=done), "Done.")
        for name, task, done in [("ada", "sails", "three patches"), ("bob", "water", "twelve casks")]
    ]
    mode = AgentTeams("harbour", tasks)
    return Orchestration(agents, mode).run_sync("Make the ship ready. Claim tasks and complete them with the tools.")


MODES: dict[str, Callable[[], RunResult]] = {
    "parallel": parallel,
    "round-robin": round_robin,
    "moderated": moderated,
    "hierarchical": hierarchical,
    "debate": debate,
    "ralph": ralph,
    "agent-teams": agent_teams,
}


def main(names: list[str]) -> int:
    """Perform the modes called *names*, or all; gives the exit status."""
    if unknown := [name for name in names if name not in MODES]:
        print(f"There is no mode {unknown[0]!r} here. Modes: {', '.join(MODES)}.", file=sys.stderr)
        return 2
    results = {name: MODES[name]() for name in names or MODES}
    for name, result in results.items():
        print(f"== {name}: {MODES[name].__doc__}")
        for reply in result.messages:
            print(f"   {reply.agent}: {reply.text}")
        score = "" if result.score is None else f", score {result.score:.2f}"
        print(f"   -> {result.stop_reason}{score}")
    return 0 if all(result.complete for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
