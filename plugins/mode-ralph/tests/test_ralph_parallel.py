"""Ralph with agents that work at the same time, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cloudllm_core import Completion, Request, validate_history
from cloudllm_core.errors import AgentFailedError, Overloaded, SettingsError
from cloudllm_core.events import AgentFailed, AgentSelected, Progress, ToolExecutionCompleted
from cloudllm_core.testing import Faults, ScriptedProvider, Show, call, rehearse, run_virtually, simulate, stage
from cloudllm_mode_ralph import Ralph, RalphTask, RalphTaskCompleted

OUT = Overloaded("out of order", "scripted")
A, B, C = (RalphTask("a", "The page"), RalphTask("b", "The style", "in blue"), RalphTask("c", "The game", after=["a"]))
HOW = (
    "When one is finished, call complete_task with its id and your evidence "
    "(or, without tools, write [TASK_COMPLETE:id] with its id on a line of its own)."
)
BEGINS = ["AgentSelected", "SendStarted", "LLMCallStarted"]
ENDS = ["LLMCallCompleted", "SendCompleted", "AgentResponded"]
DONE = ["RalphTaskCompleted", "Progress"]
TOOL = ["LLMCallCompleted", "ToolCallDetected", *DONE, "ToolExecutionCompleted", "LLMCallStarted"]
VOID = ["LLMCallCompleted", "AgentFailed"]


class Slow(ScriptedProvider):
    """Says each line after so many seconds of virtual time."""

    def __init__(self, seconds: float, *lines: Any) -> None:
        super().__init__(*lines)
        self.seconds = seconds

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self.seconds)
        return await super().complete(request)


Cast = Mapping[str, tuple[float, Sequence[Any]]]
"""Of each agent, how long each of its calls takes and its lines."""


def mark(*ids: str) -> str:
    return "\n".join(["I worked.", *(f"[TASK_COMPLETE:{id}]" for id in ids)])


def complete(id: str, evidence: str = "it is there") -> Any:
    return call("complete_task", id=id, evidence=evidence)


def slow(agents: Cast) -> dict[str, Slow]:
    return {name: Slow(seconds, *lines) for name, (seconds, lines) in agents.items()}


def play(tasks: Sequence[RalphTask], agents: Cast, iterations: int = 1, **options: Any) -> Show:
    mode = Ralph(tasks, max_iterations=iterations, parallel=True)
    return run_virtually(lambda loop: rehearse(mode, slow(agents), "Build it.", **options))


def note(boxes: str, begin: str | None) -> str:
    lines = ("The page (id: a)", "The style (id: b) — in blue", "The game (id: c) (after: a)")
    listed = "\n".join(f"- [{box}] {line}" for box, line in zip(boxes, lines, strict=False))
    first = (
        f"The others are at work, too, so begin with this task: {begin}." if begin else "Work on the next open task."
    )
    return f"The checklist as it stands:\n{listed}\n\n{first} {HOW}"


def texts(show: Show, agent: str) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.text) for m in request.messages] for request in show.providers[agent].requests]


def completed(show: Show) -> list[tuple[str, str]]:
    return [(event.agent, event.task_ids[0]) for event in show.notebook.events(RalphTaskCompleted)]


def results(show: Show) -> list[tuple[str, str | None]]:
    return [(event.agent, event.result or event.error) for event in show.notebook.events(ToolExecutionCompleted)]


def cancelled(show: Show) -> list[tuple[str, bool]]:
    return [(e.agent, e.kept) for e in show.notebook.events(AgentFailed) if e.error == "cancelled"]


# -- how a run goes -----------------------------------------------------------


def test_all_work_at_the_same_time():
    """An iteration takes as long as its slowest agent, and answers arrive as they finish."""
    lines: Cast = {"ada": (3, [mark("a")]), "bob": (2, [mark("b")])}
    show = play([A, B], lines)

    assert (["ada", "bob"], ["bob", "ada"]) == (show.asked, show.speakers)
    assert [("bob", "b"), ("ada", "a")] == completed(show)
    assert (True, 1.0, "completed", 1) == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.rounds,
    )  # fmt: skip
    mode = Ralph([A, B], parallel=True)
    records = simulate(lambda: stage(mode, slow(lines)), seed=0, latency=0).records
    assert 3 == records[-1].at - records[0].at


def test_what_is_announced():
    """Everybody is selected before anybody answers; completions and progress come as they happen."""
    show = play([A, B], {"ada": (1, [complete("a"), "Done."]), "bob": (5, [mark("b")])})

    assert ["RunStarted", "RoundStarted", "RalphIterationStarted", *BEGINS, *BEGINS, *TOOL, *ENDS, *ENDS, *DONE,
            "RoundCompleted", "RunCompleted"] == show.notebook.titles  # fmt: skip
    assert [(1, 2), (2, 2)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]
    assert ["RALPH iteration 1"] * 2 == [event.reason for event in show.notebook.events(AgentSelected)]


def test_what_is_routed_to_each_agent():
    """Each is pointed at another task; nobody hears the others before the next iteration, and then all of them."""
    lines: Cast = {"ada": (2, ["a1", "a2"]), "bob": (1, [mark("b"), "b2"])}
    show = play([A, B, C], lines, 2)

    page, style = "The page (id: a)", "The style (id: b)"
    ada, bob = texts(show, "ada"), texts(show, "bob")
    assert [("user", f"Build it.\n{note('   ', page)}")] == ada[0]
    assert [("user", f"Build it.\n{note('   ', style)}")] == bob[0]
    assert [("user", "Build it."), ("assistant", "a1"), ("user", f"bob: {mark('b')}\n{note(' x ', page)}")] == ada[1]
    assert [("user", "Build it."), ("assistant", mark("b")), ("user", f"ada: a1\n{note(' x ', page)}")] == bob[1]


def test_an_agent_keeps_its_task():
    """Who did not finish is pointed at the same task again; who did, at another one."""
    tasks = [RalphTask(id, f"Task {id}") for id in "abc"]
    show = play(tasks, {"ada": (1, [mark("a"), "."]), "bob": (1, ["Not yet.", "."])}, 2)

    assert ["(id: a).", "(id: c)."] == [pointed_at(text) for text in show.heard("ada")]
    assert ["(id: b).", "(id: b)."] == [pointed_at(text) for text in show.heard("bob")]


def pointed_at(text: str) -> str:
    return text.partition("begin with this task: Task ")[2].partition(" ")[2].partition(" When")[0]


def test_an_agent_by_itself():
    """There are no others to speak of, so it is told what it would be without `parallel`."""
    show = play([A, B], {"ada": (1, [mark("a", "b")])})

    assert [f"Build it.\n{note('  ', None)}"] == show.heard("ada")
    assert show.result.complete


def test_it_stops_when_all_is_done():
    """What the others do is cancelled when whoever completed the last task ends its turn; they are as they were."""
    lines: Cast = {
        "ada": (900, ["late"]),
        "bob": (1, [complete("a"), complete("b"), "All done."]),
        "cy": (800, ["late"]),
    }
    show = play([A, B], lines, 3)

    assert (["bob"], "All done.", 1) == (show.speakers, show.result.answer, show.result.rounds)
    assert [("ada", False), ("cy", False)] == cancelled(show)
    assert [*ENDS, *VOID, *VOID, "RoundCompleted", "RunCompleted"] == show.notebook.titles[-9:]
    assert () == show.orchestration.agents[0].session.messages


def test_the_last_word_is_not_cut_off():
    """Another turn that ends meanwhile does not cancel the one in which the last task was completed."""
    show = play([A], {"ada": (5, [complete("a"), "It is done."]), "bob": (7, ["Hm."]), "cy": (900, ["late"])})

    assert (["bob", "ada"], "It is done.", True) == (show.speakers, show.result.answer, show.result.complete)
    assert [("cy", False)] == cancelled(show)


def test_a_last_word_that_fails():
    """The task stays done, and the others are cancelled all the same."""
    show = play([A], {"ada": (1, [complete("a"), OUT]), "bob": (900, ["late"])})

    assert [("ada", "a")] == completed(show)
    assert [("bob", False)] == cancelled(show)
    assert 1.0 == show.result.score


def test_a_cancelled_agent_that_completed_a_task():
    """What it completed by tool stands, and its session is closed with a note that says so."""
    show = play([A, B], {"ada": (3, [complete("a"), "late"]), "bob": (4, [mark("b")])})

    assert [("ada", "a"), ("bob", "b")] == completed(show)
    assert [("ada", True)] == cancelled(show)
    session = show.orchestration.agents[0].session.messages
    validate_history(session)
    assert "This turn broke off: cancelled." in session[-1].text


# -- tasks that two agents go for ---------------------------------------------


def test_a_task_that_another_completed_meanwhile():
    """The second one is refused in words, by the tool; by marker nothing happens. It is announced once."""
    show = play(
        [A, B],
        {"ada": (1, [complete("a", "mine"), "Done."]), "bob": (3, [complete("a", "no, mine"), mark("a", "b")])},
    )

    assert [("ada", "Task 'a' is done. 1 of 2 tasks are open."),
            ("bob", "Task 'a' was completed before. Open tasks: b.")] == results(show)  # fmt: skip
    assert [("ada", "a"), ("bob", "b")] == completed(show)


def test_the_order_of_tasks_is_kept():
    """A task that waits for another one opens the moment that is done, in the same iteration."""
    show = play([A, C], {"ada": (2, [mark("a")]), "bob": (1.5, [complete("c"), complete("c"), "Done."])})

    assert [("bob", "Task 'c' comes after a, which is not done yet."), ("bob", "All tasks are done.")] == results(show)
    assert [("ada", "a"), ("bob", "c")] == completed(show)


# -- when agents fail ---------------------------------------------------------


@pytest.mark.parametrize("position", range(3))
def test_an_agent_that_fails_takes_nobody_with_it(position):
    """Wherever it sits, the others' turns are whole, and it is pointed at the same task again."""
    names, tasks = ["ada", "bob", "cy"], [RalphTask(id, f"Task {id}") for id in "abc"]
    lines = {n: (1 + i, [OUT if i == position else mark("abc"[i]), mark("abc"[i])]) for i, n in enumerate(names)}
    show = play(tasks, lines, 2)

    others = [name for i, name in enumerate(names) if i != position]
    assert [*others, names[position]] == [agent for agent, _ in completed(show)]
    assert f"(id: {'abc'[position]})." == pointed_at(show.heard(names[position])[1])
    assert (True, 2) == (show.result.complete, show.result.rounds)


def test_nobody_answers():
    """If everybody fails, the run has failed."""
    show = play([A], {"ada": (1, [OUT, OUT]), "bob": (2, [OUT, OUT])}, 2)

    assert (False, 0.0, "failed") == (show.result.complete, show.result.score, show.result.stop_reason)
    assert isinstance(show.result.error, AgentFailedError)


def test_stopping_on_failure():
    """With ``on_failure="stop"`` the first failure ends the run, and cancels who is still at work."""
    show = play([A], {"ada": (1, [OUT]), "bob": (900, [mark("a")])}, on_failure="stop")

    assert ("failed", [], [("bob", False)]) == (show.result.stop_reason, show.speakers, cancelled(show))


def test_it_says_when_nothing_moved():
    """As one after the other: stalled if the last iteration brought nothing, else out of iterations."""
    script: Cast = {"ada": (1, [mark("a"), "Hm."]), "bob": (2, ["Hm.", "Hm."])}

    for iterations, reason in ((1, "max_rounds"), (2, "stalled")):
        result = play([A, B], script, iterations).result
        assert (reason, 0.5, False) == (result.stop_reason, result.score, result.complete)


# -- runs and settings --------------------------------------------------------


def team(tasks: Sequence[RalphTask] = (A, B, C)) -> Any:
    lines: Cast = {"ada": (1, [complete("a"), mark("c")] * 2), "bob": (1.5, [complete("a"), mark("b")] * 2)}
    return stage(Ralph(tasks, max_iterations=2, parallel=True), slow(lines))


def test_a_second_run_begins_with_an_empty_checklist():
    """All tasks are open again, and everybody is pointed at what it was pointed at first."""

    async def twice(_: object) -> list[Any]:
        one = team()
        results = [await one.run("Build it."), await one.run("Build it again.")]
        notes = [request.messages[-1].text for request in one.agents[0].provider.requests]
        assert notes[0].replace("Build it.", "Build it again.") == notes[2]
        return results

    assert [(True, 1.0), (True, 1.0)] == [(result.complete, result.score) for result in run_virtually(twice)]


def test_two_runs_at_once():
    """Each has a checklist of its own."""

    async def at_once(_: object) -> list[Any]:
        lines: Cast = {"ada": (1, [mark("a")] * 2), "bob": (2, [mark("b")] * 2)}
        one = stage(Ralph([A, B], parallel=True), slow(lines))
        runs = [one.run("Build it."), one.run("Build another.")]
        return [await run for run in runs]

    assert [(True, 2), (True, 2)] == [(result.complete, len(result.messages)) for result in run_virtually(at_once)]


def test_cancelled_at_any_record():
    """Wherever it is cancelled, no task of the loop is left, and every session is legal."""
    whole = simulate(team, seed=1)
    assert whole.result.complete
    for number in range(1, len(whole.records)):
        run = simulate(team, seed=1, faults=Faults(cancel_at=number))

        assert () == run.left
        assert run.result.stop_reason in ("cancelled", "completed")
        for agent in run.orchestration.agents:
            validate_history(agent.session.messages)


@pytest.mark.parametrize("seed", range(30))
def test_each_task_is_completed_once_in_any_order(seed):
    """Whatever arrives first, and whoever fails, no completion is announced twice."""
    run = simulate(team, seed=seed, faults=Faults(provider=0.1 * (seed % 3)))
    ids = [event.task_ids[0] for record in run.records if isinstance(event := record.event, RalphTaskCompleted)]

    assert len(set(ids)) == len(ids)
    assert run.result.complete == (len(ids) == 3)


def test_a_team_file_can_say_it():
    """`parallel` is a setting like any other, off by default."""
    mode = Ralph.from_settings({"tasks": [{"id": "a", "title": "The page"}], "parallel": True})

    assert Ralph([A], parallel=True) == mode == Ralph.from_settings(mode.settings())
    assert not Ralph([A]).parallel
    with pytest.raises(SettingsError, match="parallel: found 'yes', expected true or false"):
        Ralph.from_settings({"tasks": [], "parallel": "yes"})
    with pytest.raises(SettingsError, match="Did you mean 'parallel'"):
        Ralph.from_settings({"tasks": [], "paralel": True})
