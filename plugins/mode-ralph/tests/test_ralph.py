"""Ralph, rehearsed with scripted agents."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from cloudllm_core import validate_history
from cloudllm_core.errors import Overloaded, SettingsError
from cloudllm_core.events import AgentFailed, AgentSelected, Progress, ToolExecutionCompleted
from cloudllm_core.testing import Show, call, rehearse
from cloudllm_mode_ralph import Ralph, RalphIterationStarted, RalphTask, RalphTaskCompleted, cloudllm_register_mode

OUT = Overloaded("out of order", "scripted")
A, B, C = (
    RalphTask("a", "The page"),
    RalphTask("b", "The style", "in blue"),
    RalphTask("c", "The game", after=("a", "b")),
)
DO = (
    "Work on the next open task. When one is finished, call complete_task with its id and your evidence "
    "(or, without tools, write [TASK_COMPLETE:id] with its id on a line of its own)."
)
BEGINS = ["AgentSelected", "SendStarted", "LLMCallStarted", "LLMCallCompleted"]
ENDS = ["SendCompleted", "AgentResponded"]
TOOL = ["ToolCallDetected", "RalphTaskCompleted", "Progress", "ToolExecutionCompleted"]


def mark(*ids: str) -> str:
    return "\n".join(["I worked.", *(f"[TASK_COMPLETE:{id}]" for id in ids)])


def complete(id: str, evidence: str = "it is there") -> Any:
    return call("complete_task", id=id, evidence=evidence)


def play(mode: Ralph, script: dict[str, Any], **options: Any) -> Show:
    return asyncio.run(rehearse(mode, script, "Build it.", **options))


def completed(show: Show) -> list[tuple[str, tuple[str, ...], str, int]]:
    events = show.notebook.events(RalphTaskCompleted)
    return [(event.agent, event.task_ids, event.evidence, event.tasks_completed_total) for event in events]


def results(show: Show) -> list[str | None]:
    """What the tool calls gave, in order."""
    return [event.result or event.error for event in show.notebook.events(ToolExecutionCompleted)]


# -- how a run goes -----------------------------------------------------------


def test_a_team_completes_its_checklist():
    """Agents in turn, by tool or by marker, until the last task is done."""
    script = {"ada": [complete("a", "index.html"), "The page is there."], "bob": [mark("b")], "cy": [mark("c")]}
    show = play(Ralph([A, B, C]), script)

    assert ["ada", "bob", "cy"] == show.asked == show.speakers
    assert [
        ("ada", ("a",), "index.html", 1),
        ("bob", ("b",), "said so in its reply", 2),
        ("cy", ("c",), "said so in its reply", 3),
    ] == completed(show)
    assert (True, 1.0, mark("c")) == (show.result.complete, show.result.score, show.result.answer)


def test_what_is_announced():
    """Iterations, selections, completions and progress, in this order and once each."""
    show = play(Ralph([A, B]), {"ada": [complete("a"), "Done."], "bob": [mark("b")]})

    assert [
        "RunStarted", "RoundStarted", "RalphIterationStarted",
        *BEGINS, *TOOL, "LLMCallStarted", "LLMCallCompleted", *ENDS,
        *BEGINS, *ENDS, "RalphTaskCompleted", "Progress",
        "RoundCompleted", "RunCompleted",
    ] == show.notebook.titles  # fmt: skip
    (started,) = show.notebook.events(RalphIterationStarted)
    assert RalphIterationStarted(iteration=1, max_iterations=5, tasks_completed=0, tasks_total=2) == started
    assert [(1, 2), (2, 2)] == [(bar.done, bar.total) for bar in show.notebook.events(Progress)]
    assert ["RALPH iteration 1"] * 2 == [event.reason for event in show.notebook.events(AgentSelected)]


def test_what_is_routed_to_each_agent():
    """News, the prompt once, and a note with the checklist, which no session keeps; all of it as user content."""
    show = play(Ralph([A, B], max_iterations=2), {"ada": ["a1", "a2"], "bob": ["b1", "b2"]})

    note = f"The checklist as it stands:\n- [ ] The page (id: a)\n- [ ] The style (id: b) — in blue\n\n{DO}"
    ada, bob = ([[(m.role, m.text) for m in r.messages] for r in show.providers[n].requests] for n in ("ada", "bob"))
    assert [("user", f"Build it.\n{note}")] == ada[0]
    assert [("user", "Build it."), ("assistant", "a1"), ("user", f"bob: b1\n{note}")] == ada[1]
    assert [("user", f"ada: a1\nBuild it.\n{note}")] == bob[0]
    assert [("user", "ada: a1\nBuild it."), ("assistant", "b1"), ("user", f"ada: a2\n{note}")] == bob[1]


def test_the_checklist_is_as_it_stands_now():
    """Regression: who comes later in an iteration sees what was completed earlier in it."""
    show = play(Ralph([A, B, C], max_iterations=1), {"ada": mark("a"), "bob": [complete("b"), "Done."], "cy": "Hm."})

    ada, bob, cy = (show.heard(name)[0] for name in ("ada", "bob", "cy"))
    assert [
        "- [ ] The page (id: a)",
        "- [ ] The style (id: b) — in blue",
        "- [ ] The game (id: c) (after: a, b)",
    ] == boxes(ada)
    assert ["x", " ", " "] == [line[3] for line in boxes(bob)]
    assert ["x", "x", " "] == [line[3] for line in boxes(cy)]


def boxes(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("- [")]


def test_it_stops_the_moment_all_is_done():
    """Regression: agents that have not had their turn are not asked any more."""
    show = play(Ralph([A, B]), {"ada": mark("a", "b"), "bob": "never", "cy": "never"})

    assert (["ada"], ["ada"]) == (show.asked, show.speakers)
    assert [] == show.providers["bob"].requests
    assert (True, 1.0, "completed", 1) == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.rounds,
    )  # fmt: skip


def test_an_empty_checklist_is_complete():
    """With nothing to do nobody is asked, and no round begins."""
    show = play(Ralph([]), {"ada": "never"})

    assert (True, 1.0, "completed", 0) == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.rounds,
    )  # fmt: skip
    assert ["RunStarted", "RunCompleted"] == show.notebook.titles


def test_it_gives_up_after_the_last_iteration():
    """What is done then counts for the score, and the run is not complete."""
    show = play(Ralph([A, B, C], max_iterations=2), {"ada": [mark("a"), mark("b")]})

    assert (False, 2 / 3, "max_rounds", 2) == (
        show.result.complete, show.result.score, show.result.stop_reason, show.result.rounds,
    )  # fmt: skip


def test_it_says_when_nothing_moved():
    """If the last iteration brought nothing, the run has stalled."""
    show = play(Ralph([A, B], max_iterations=2), {"ada": [mark("a"), "I am not done."], "bob": ["Hm.", "Almost done!"]})

    assert ("stalled", 0.5, False) == (show.result.stop_reason, show.result.score, show.result.complete)


# -- what counts --------------------------------------------------------------


def test_a_task_is_completed_once():
    """Regression: a repeated id, in one reply, later, or by another agent, is not reported again."""
    show = play(
        Ralph([A, B], max_iterations=2), {"ada": [mark("a", "a"), mark("a")], "bob": [mark("a"), mark("a", "b")]}
    )

    assert [("a",), ("b",)] == [event.task_ids for event in show.notebook.events(RalphTaskCompleted)]
    assert [1, 2] == [event.tasks_completed_total for event in show.notebook.events(RalphTaskCompleted)]
    assert 1.0 == show.result.score


def test_prose_completes_nothing():
    """Regression: words such as done, complete or finished, and markers in sentences or code, are no evidence."""
    said = ["I am not done.", "Task a is complete. Done!", "```\n[TASK_COMPLETE:a]\n```", "`[TASK_COMPLETE:a]`",
            "I shall write [TASK_COMPLETE:a] when it is."]  # fmt: skip
    show = play(Ralph([A], max_iterations=5), {"ada": said})

    assert ([], 0.0, "stalled") == (completed(show), show.result.score, show.result.stop_reason)


def test_unknown_ids_complete_nothing():
    """A marker for a task that does not exist is ignored, also if it nearly exists."""
    show = play(Ralph([A], max_iterations=1), {"ada": mark("A", "aa", "task_id", "a b")})

    assert ([], 0.0) == (completed(show), show.result.score)


def test_order_is_kept():
    """A task that comes after others cannot be completed before them, by neither way."""
    show = play(Ralph([A, B, C], max_iterations=1), {"ada": [complete("c"), mark("c", "a")], "bob": mark("b", "c")})

    assert ["Task 'c' comes after a, b, which are not done yet."] == results(show)
    assert [("ada", ("a",)), ("bob", ("b",)), ("bob", ("c",))] == [entry[:2] for entry in completed(show)]
    assert show.result.complete


def test_what_the_tool_answers():
    """The model reads what became of its call, and what is left to do."""
    calls = ["x", "a", "a", "b"]
    show = play(Ralph([A, B], max_iterations=1), {"ada": [*map(complete, calls), "Done."]})

    assert [
        "There is no task 'x'. Open tasks: a, b.",
        "Task 'a' is done. 1 of 2 tasks are open.",
        "Task 'a' was completed before. Open tasks: b.",
        "All tasks are done.",
    ] == results(show)
    assert [("ada", ("a",), "it is there", 1), ("ada", ("b",), "it is there", 2)] == completed(show)
    assert show.result.complete


def test_calls_of_one_reply_complete_a_task_once():
    """Two calls at once for the same task: one completes it, the other one is told."""
    show = play(Ralph([A, B], max_iterations=1), {"ada": [[complete("a", "first"), complete("a", "second")], "Hm."]})

    assert [("ada", ("a",), "first", 1)] == completed(show)
    assert ["Task 'a' is done. 1 of 2 tasks are open.", "Task 'a' was completed before. Open tasks: b."] == results(
        show
    )


def test_the_tool_needs_evidence():
    """A call without evidence is refused before anything is completed."""
    show = play(Ralph([A], max_iterations=1), {"ada": [call("complete_task", id="a"), "Hm."]})

    assert [] == completed(show)
    assert "evidence" in show.providers["ada"].requests[1].messages[-1].tool_results[0].content


def test_the_tool_is_offered_for_the_turn_only():
    """Agents keep their own tools beside it, and lose it with the turn."""
    show = play(Ralph([A], max_iterations=1), {"ada": "Hm."})

    assert ["complete_task"] == [tool.name for tool in show.providers["ada"].requests[0].tools]
    assert () == show.orchestration.agents[0].list_tools()


# -- when agents fail ---------------------------------------------------------


@pytest.mark.parametrize("position", range(3))
def test_an_agent_that_fails_loses_its_turn(position):
    """Wherever it sits, the others go on with the checklist."""
    names, tasks = ["ada", "bob", "cy"], [A, B, RalphTask("d", "The sound")]
    script = {n: OUT if i == position else mark(tasks[i].id) for i, n in enumerate(names)}
    show = play(Ralph(tasks, max_iterations=1), script)

    assert names == show.asked
    assert [name for i, name in enumerate(names) if i != position] == [entry[0] for entry in completed(show)]
    assert (2 / 3, "max_rounds") == (show.result.score, show.result.stop_reason)


def test_a_turn_that_fails_after_completing_a_task():
    """The task stays done, the session is closed with a note, and nobody does it again."""
    show = play(
        Ralph([A, B], max_iterations=2),
        {"ada": [[complete("a"), complete("x")], OUT, "I go on."], "bob": ["Hm.", mark("b")]},
    )

    assert [("ada", ("a",)), ("bob", ("b",))] == [entry[:2] for entry in completed(show)]
    assert [("ada", True)] == [(event.agent, event.kept) for event in show.notebook.events(AgentFailed)]
    assert "- [x] The page (id: a)" in show.heard("bob")[0]
    session = show.orchestration.agents[0].session.messages
    validate_history(session)
    assert ["user", "assistant", "tool", "assistant", "user", "assistant"] == [message.role for message in session]
    assert ["Task 'a' is done. 1 of 2 tasks are open.", "There is no task 'x'. Open tasks: b."] == [
        result.content for result in session[2].tool_results
    ]
    assert session[3].text.startswith("This turn broke off: Overloaded: scripted: out of order.")
    assert session[3].text.endswith("What it had completed stands; do not repeat it.")
    assert show.result.complete


def test_nobody_answers():
    """If everybody fails, the run has failed, whatever its tasks."""
    show = play(Ralph([A], max_iterations=2), {"ada": [OUT, OUT], "bob": [OUT, OUT]})

    assert (False, 0.0, "failed") == (show.result.complete, show.result.score, show.result.stop_reason)
    assert "Agent 'bob' failed: Overloaded: scripted: out of order." == str(show.result.error)


def test_stopping_on_failure():
    """With ``on_failure="stop"`` nobody works on after a failure."""
    show = play(Ralph([A]), {"ada": OUT, "bob": mark("a")}, on_failure="stop")

    assert (["ada"], "failed") == (show.asked, show.result.stop_reason)


def test_a_second_run_begins_with_an_empty_checklist():
    """What was done in one run is open again in the next: the mode keeps nothing."""

    async def main() -> None:
        show = await rehearse(Ralph([A], max_iterations=1), {"ada": [mark("a"), "Hm."]}, "Build it.")
        result = await show.orchestration.run("Build it again.")

        assert (1.0, 0.0) == (show.result.score, result.score)
        assert ["- [ ] The page (id: a)"] == boxes(show.heard("ada")[1])

    asyncio.run(main())


# -- settings -----------------------------------------------------------------


def test_tasks_come_from_plain_data():
    """A team file's ``[[tasks]]`` become tasks."""
    tables = [
        {"id": "a", "title": "The page"},
        {"id": "b", "title": "The style", "description": "in blue", "after": ["a"]},
    ]
    mode = Ralph.from_settings({"tasks": tables, "max_iterations": 3})

    assert Ralph((A, RalphTask("b", "The style", "in blue", ("a",))), max_iterations=3) == mode
    assert ("tasks",) == Ralph.tables
    assert mode == Ralph.from_settings(mode.settings())
    assert Ralph is cloudllm_register_mode()


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ([A, B, A], "Ralph cannot tell tasks apart: the id 'a' is used more than once."),
        ([RalphTask("c", "C", after=["x"])], "The task 'c' comes after 'x', and there is no such task."),
        ([RalphTask("c", "C", after=["c"])], "The task 'c' can never begin: it waits, in a circle, for itself."),
        (
            [A, RalphTask("b", "B", after=["c"]), RalphTask("c", "C", after=["b"])],
            "The task 'b' can never begin: it waits, in a circle, for itself.",
        ),
        ([RalphTask("", "A")], "The id '' cannot stand in a marker: give one without ']' and spaces around it."),
        ([RalphTask("a]", "A")], "The id 'a]' cannot stand in a marker: give one without ']' and spaces around it."),
        ([RalphTask(" a", "A")], "The id ' a' cannot stand in a marker: give one without ']' and spaces around it."),
    ],
)
def test_checklists_that_make_no_sense(tasks, sentence):
    """Regression: ids used twice could never be finished. They, and tasks that cannot be done, are refused."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Ralph(tasks)


def test_settings_that_make_no_sense():
    """A misspelt key, in a task too, and a wrong number are named."""
    with pytest.raises(SettingsError, match="Did you mean 'max_iterations'"):
        Ralph.from_settings({"tasks": [], "max_iteration": 2})
    with pytest.raises(SettingsError, match=r"tasks\[0\].titel: .*Did you mean 'title'"):
        Ralph.from_settings({"tasks": [{"id": "a", "titel": "A"}]})
    with pytest.raises(SettingsError, match=r"^max_iterations: found 0, expected at least 1\.$"):
        Ralph.from_settings({"tasks": [], "max_iterations": 0})
    with pytest.raises(SettingsError, match="no 'tasks'"):
        Ralph.from_settings({})
    with pytest.raises(TypeError, match="Ralph takes tasks such as"):
        Ralph([{"id": "a", "title": "A"}])  # type: ignore[list-item] # that is the mistake
