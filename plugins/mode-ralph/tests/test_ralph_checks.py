"""Ralph with checks: who says that a task is done is believed only when its check agrees."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from cloudllm_core import Completion, Journal, JournalText, Orchestration, Request, validate_history
from cloudllm_core.errors import DivergenceError, SettingsError
from cloudllm_core.events import AgentFailed, EffectFinished, EffectStarted, ToolExecutionCompleted
from cloudllm_core.testing import Faults, ScriptedProvider, Show, call, rehearse, run_virtually, simulate, stage
from cloudllm_mode_ralph import Check, Ralph, RalphTask, RalphTaskCompleted, RalphTaskRejected

HOW = (
    "When one is finished, call complete_task with its id and your evidence "
    "(or, without tools, write [TASK_COMPLETE:id] with its id on a line of its own)."
)
DO = f"Work on the next open task. {HOW}"
BEGINS = ["AgentSelected", "SendStarted", "LLMCallStarted", "LLMCallCompleted"]
ENDS = ["SendCompleted", "AgentResponded"]


def mark(*ids: str) -> str:
    return "\n".join(["I worked.", *(f"[TASK_COMPLETE:{id}]" for id in ids)])


def complete(id: str, evidence: str = "it is there") -> Any:
    return call("complete_task", id=id, evidence=evidence)


def task(check: Any, id: str = "a") -> RalphTask:
    return RalphTask(id, f"Task {id}", check=check)


def play(mode: Ralph, script: dict[str, Any], **options: Any) -> Show:
    return asyncio.run(rehearse(mode, script, "Build it.", **options))


def rejected(show: Show) -> list[tuple[str, str, str, str]]:
    events = show.notebook.events(RalphTaskRejected)
    return [(event.agent, event.task_id, event.evidence, event.feedback) for event in events]


def completed(show: Show) -> list[tuple[str, str, str]]:
    events = show.notebook.events(RalphTaskCompleted)
    return [(event.agent, event.task_ids[0], event.evidence) for event in events]


def results(show: Show) -> list[str | None]:
    return [event.result or event.error for event in show.notebook.events(ToolExecutionCompleted)]


def has_canvas(id: str, evidence: str) -> bool | str:
    return evidence == "canvas" or f"Task {id} has no canvas."


# -- by the tool --------------------------------------------------------------


def test_a_check_that_agrees():
    """It gets the task's id and the evidence, and the task is done."""
    asked: list[tuple[str, str]] = []
    show = play(
        Ralph([task(lambda *given: asked.append(given) or True)]), {"ada": [complete("a", "index.html"), "Done."]}
    )

    assert [("a", "index.html")] == asked
    assert ([("ada", "a", "index.html")], [], True) == (completed(show), rejected(show), show.result.complete)
    assert ["All tasks are done."] == results(show)


def test_a_check_that_rejects_with_feedback():
    """The task stays open, the model reads why, and may try again in the same turn."""
    script = {"ada": [complete("a", "an image"), complete("a", "canvas"), "Done."]}
    show = play(Ralph([task(has_canvas)], max_iterations=1), script)

    assert ["Task 'a' was not accepted, and stays open: Task a has no canvas.", "All tasks are done."] == results(show)
    assert [("ada", "a", "an image", "Task a has no canvas.")] == rejected(show)
    assert [("ada", "a", "canvas")] == completed(show)


def test_what_is_announced():
    """The check is an effect of the journal; its rejection follows, then the tool's result."""
    show = play(
        Ralph([task(has_canvas)], max_iterations=1), {"ada": [complete("a", "no"), complete("a", "canvas"), "."]}
    )

    check = ["ToolCallDetected", "EffectStarted", "EffectFinished"]
    again = ["ToolExecutionCompleted", "LLMCallStarted", "LLMCallCompleted"]
    assert [
        "RunStarted", "RoundStarted", "RalphIterationStarted", *BEGINS,
        *check, "RalphTaskRejected", *again,
        *check, "RalphTaskCompleted", "Progress", *again,
        *ENDS, "RoundCompleted", "RunCompleted",
    ] == show.notebook.titles  # fmt: skip
    assert [("check a", "read")] * 2 == [(e.name, e.effect) for e in show.notebook.events(EffectStarted)]


async def accepts_later(id: str, evidence: str) -> bool:
    await asyncio.sleep(0)
    return True


class Gate:
    """A check with a state of its own."""

    async def __call__(self, id: str, evidence: str) -> bool:
        return True


def exactly(wanted: str, id: str, evidence: str) -> bool:
    return evidence == wanted


@pytest.mark.parametrize("check", [accepts_later, Gate(), functools.partial(exactly, "canvas"), lambda *_: True])
def test_sorts_of_checks(check):
    """Functions, async ones, objects that can be called, and functions of which a part is given."""
    show = play(Ralph([task(check)]), {"ada": [complete("a", "canvas"), "Done."]})

    assert ([("ada", "a", "canvas")], []) == (completed(show), rejected(show))


def test_a_function_is_called_off_the_loop():
    """A check that waits for the world holds up nobody: a plain function has a thread of its own."""
    threads: list[threading.Thread] = []
    play(
        Ralph([task(lambda *_: threads.append(threading.current_thread()) or True)]), {"ada": [complete("a"), "Done."]}
    )

    assert threading.main_thread() not in threads
    assert 1 == len(threads)


def raises(id: str, evidence: str) -> bool:
    raise FileNotFoundError(f"no file {evidence}")


async def raises_later(id: str, evidence: str) -> bool:
    raise FileNotFoundError(f"no file {evidence}")


@pytest.mark.parametrize("check", [raises, raises_later])
def test_a_check_that_raises_rejects(check):
    """It is no crash: the model reads the error, the task stays open, and the run goes on."""
    show = play(Ralph([task(check)], max_iterations=1), {"ada": [complete("a", "x.html"), "Hm."]})

    feedback = "The check failed: FileNotFoundError: no file x.html"
    assert [("ada", "a", "x.html", feedback)] == rejected(show)
    assert [f"Task 'a' was not accepted, and stays open: {feedback}"] == results(show)
    assert (None, False, "stalled") == (show.result.error, show.result.complete, show.result.stop_reason)


@pytest.mark.parametrize(
    ("said", "feedback"),
    [
        (False, "The check did not accept the evidence."),
        ("", "The check did not accept the evidence."),
        (None, "The check gave None where it should give True, False or a text."),
        (1, "The check gave 1 where it should give True, False or a text."),
    ],
)
def test_nothing_but_true_accepts(said, feedback):
    """A check that forgets to return, or returns something else, accepts nothing."""
    show = play(Ralph([task(lambda *_: said)], max_iterations=1), {"ada": [complete("a"), "Hm."]})

    assert ([], [feedback]) == (completed(show), [entry[3] for entry in rejected(show)])


def test_a_result_that_no_journal_can_hold():
    """It is a failed check, and rejects."""
    show = play(Ralph([task(lambda *_: object())], max_iterations=1), {"ada": [complete("a"), "Hm."]})

    assert [True] == [
        entry[3].startswith("The check failed: TypeError: its result is not JSON") for entry in rejected(show)
    ]


def test_a_check_is_not_asked_in_vain():
    """Only for a task that exists, is open, and whose predecessors are done."""
    never = lambda *_: pytest.fail("it was asked")  # noqa: E731
    tasks = [RalphTask("a", "A"), RalphTask("b", "B", after=["a"], check=never)]
    show = play(Ralph(tasks, max_iterations=1), {"ada": [complete("b"), complete("x"), mark("b", "x")]})

    assert ([], []) == (rejected(show), completed(show))
    assert [] == show.notebook.events(EffectStarted)


# -- by the marker ------------------------------------------------------------


def test_feedback_reaches_the_agent_with_its_next_note():
    """Who has no tools is told in its next turn, and only there; the others are not told."""
    script = {"ada": [mark("a"), "What now?", "Hm."], "bob": ["b1", "b2", "b3"]}
    show = play(Ralph([task(has_canvas)], max_iterations=3), script)

    box = "The checklist as it stands:\n- [ ] Task a (id: a)\n\n"
    news = "What you said in your last answer was not accepted:\n"
    feedback = "- Task 'a' was not accepted, and stays open: Task a has no canvas.\n\n"
    assert [f"Build it.\n{box}{DO}", f"bob: b1\n{box}{news}{feedback}{DO}", f"bob: b2\n{box}{DO}"] == show.heard("ada")
    assert not [text for text in show.heard("bob") if news in text]
    assert [("ada", "a", "said so in its reply", "Task a has no canvas.")] == rejected(show)
    kept = "\n".join(message.text for message in show.orchestration.agents[0].session.messages)
    assert news not in kept


def test_feedback_waits_for_a_turn_that_succeeds():
    """If the turn that brings it fails, the next one brings it again."""
    script = {"ada": [mark("a"), RuntimeError("lost"), "I see."]}
    show = play(Ralph([task(has_canvas)], max_iterations=3), script)

    assert [False, True, True] == ["has no canvas" in text for text in show.heard("ada")]


def test_several_markers():
    """Each is judged by itself, in order; what one completes counts for the next."""
    tasks = [task(has_canvas), task(lambda *_: True, "b"), RalphTask("c", "C", after=["b"], check=lambda *_: False)]
    show = play(Ralph(tasks, max_iterations=2), {"ada": [mark("a", "b", "c"), "Hm."]})

    assert [("ada", "b", "said so in its reply")] == completed(show)
    assert ["a", "c"] == [entry[1] for entry in rejected(show)]
    assert 2 == show.heard("ada")[1].count("was not accepted, and stays open")


# -- at the same time ---------------------------------------------------------


class Slow(ScriptedProvider):
    """Says each line after so many seconds of virtual time."""

    def __init__(self, seconds: float, *lines: Any) -> None:
        super().__init__(*lines)
        self.seconds = seconds

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self.seconds)
        return await super().complete(request)


def takes(**seconds: float) -> Check:
    """A check that accepts, and takes as long as its evidence says; ``bad`` evidence is rejected."""

    async def check(id: str, evidence: str) -> bool:
        await asyncio.sleep(seconds[evidence])
        return not evidence.startswith("bad")

    return check


def at_once(check: Check, script: dict[str, Slow], *more: RalphTask, iterations: int = 1) -> Show:
    mode = Ralph([task(check), *more], max_iterations=iterations, parallel=True)
    return run_virtually(lambda loop: rehearse(mode, script, "Build it."))


def test_the_first_that_is_accepted_counts():
    """While one check runs another agent's claim is checked, too; the later one is refused, though its check agrees."""
    script = {"ada": Slow(1, complete("a", "slow"), "Hm."), "bob": Slow(2, complete("a", "quick"), mark("b"))}
    show = at_once(takes(slow=5, quick=1), script, RalphTask("b", "B"))

    assert [("bob", "a", "quick"), ("bob", "b", "said so in its reply")] == completed(show)
    assert "Task 'a' is done. 1 of 2 tasks are open." == results(show)[0]
    assert [] == rejected(show)


def test_the_later_one_reads_the_refusal():
    """It can go on with something else."""
    script = {"ada": Slow(1, complete("a", "slow"), mark("b")), "bob": Slow(2, complete("a", "quick"), "Hm.")}
    show = at_once(takes(slow=5, quick=1), script, RalphTask("b", "B"))

    assert ["Task 'a' is done. 1 of 2 tasks are open.", "Task 'a' was completed before. Open tasks: b."] == results(
        show
    )
    assert [("bob", "a", "quick"), ("ada", "b", "said so in its reply")] == completed(show)


def test_a_rejection_that_comes_late():
    """It is announced, and the agent is told what matters to it: somebody else has done the task."""
    script = {"ada": Slow(1, complete("a", "bad"), mark("b")), "bob": Slow(2, complete("a", "good"), "Hm.")}
    show = at_once(takes(bad=5, good=1), script, RalphTask("b", "B"))

    assert [("ada", "bad")] == [(entry[0], entry[2]) for entry in rejected(show)]
    assert "Task 'a' was completed before. Open tasks: b." == results(show)[1]


def test_a_rejection_leaves_the_task_to_others():
    """Who comes with better evidence while the first check rejects completes it."""
    script = {"ada": Slow(1, complete("a", "bad"), "Hm."), "bob": Slow(2, complete("a", "good"), "Done.")}
    show = at_once(takes(bad=2, good=5), script)

    assert ([("bob", "a", "good")], True) == (completed(show), show.result.complete)
    assert ["bad"] == [entry[2] for entry in rejected(show)]


def test_calls_of_one_reply_are_checked_at_once():
    """The same holds within one agent's turn: one call completes the task, the other one is told."""
    script = {"ada": Slow(1, [complete("a", "slow"), complete("a", "quick")], "Done.")}
    show = at_once(takes(slow=5, quick=1), script, RalphTask("b", "B"))

    assert [("ada", "a", "quick")] == completed(show)
    content = [result.content for result in show.providers["ada"].requests[1].messages[-1].tool_results]
    assert ["Task 'a' was completed before. Open tasks: b.", "Task 'a' is done. 1 of 2 tasks are open."] == content


def test_markers_are_checked_at_once():
    """Claims by marker, too: the first accepted counts, and the other agent is told in its next turn."""
    check_count: list[str] = []

    async def check(id: str, evidence: str) -> bool:
        check_count.append(id)
        await asyncio.sleep(5)
        return True

    script = {"ada": Slow(1, mark("a"), "Hm."), "bob": Slow(2, mark("a"), "Hm.")}
    show = at_once(check, script, RalphTask("b", "B"), iterations=2)

    assert (["a", "a"], [("ada", "a", "said so in its reply")]) == (check_count, completed(show))
    assert ["completed before" in show.heard(name)[1] for name in ("ada", "bob")] == [False, True]


def test_a_check_under_way_is_cancelled_with_its_agent():
    """When all is done, whatever is still being checked is stopped, and leaves no trace."""
    script = {"ada": Slow(1, complete("a", "slow"), "late"), "bob": Slow(2, complete("a", "quick"), "Done.")}
    show = at_once(takes(slow=900, quick=1), script)

    assert ([("bob", "a", "quick")], True) == (completed(show), show.result.complete)
    assert ["ok", "cancelled"] == [event.outcome for event in show.notebook.events(EffectFinished)]
    assert [("ada", "cancelled", False)] == [(e.agent, e.error, e.kept) for e in show.notebook.events(AgentFailed)]
    assert () == show.orchestration.agents[0].session.messages


async def picky(id: str, evidence: str) -> bool | str:
    await asyncio.sleep(0.01)
    return evidence == "canvas" or f"Task {id} has no canvas."


def team(parallel: bool, check: Check = picky) -> Orchestration:
    script = {
        "ada": Slow(
            0.02, complete("a", "an image"), [complete("a", "canvas"), complete("b", "canvas")], mark("a"), "."
        ),
        "bob": Slow(0.01, complete("b", "an image"), mark("b"), complete("b", "canvas"), "Done."),
    }
    return stage(Ralph([task(check), task(check, "b")], max_iterations=2, parallel=parallel), script)


@pytest.mark.parametrize("parallel", [False, True])
def test_cancelled_at_any_record(parallel):
    """In a check as anywhere: no task of the loop is left, and every session is legal."""
    whole = simulate(lambda: team(parallel), seed=1)
    assert whole.result.complete
    for number in range(1, len(whole.records)):
        run = simulate(lambda: team(parallel), seed=1, faults=Faults(cancel_at=number))

        assert () == run.left
        for agent in run.orchestration.agents:
            validate_history(agent.session.messages)


# -- replays ------------------------------------------------------------------


async def never(id: str, evidence: str) -> bool:
    raise AssertionError("a replay asked a check")


never.__qualname__ = picky.__qualname__


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_replay_does_not_check_again(parallel, seed):
    """Judgements come from the journal: the same records, and the check is not called."""
    run = simulate(lambda: team(parallel), seed=seed)
    again = asyncio.run(team(parallel, never).replay(run.records))

    assert run.result.to_json() | {"sessions_kept": None} == again.to_json() | {"sessions_kept": None}
    assert any(isinstance(record.event, RalphTaskRejected) for record in run.records)


def test_a_replay_needs_the_same_checks():
    """A check of another name is another mode: the replay says so at once."""
    run = simulate(lambda: team(True), seed=1)

    with pytest.raises(DivergenceError, match=r"settings\.tasks\[0\]\.check"):
        asyncio.run(team(True, raises_later).replay(run.records))


class Lines(Journal):
    """Keeps a journal in a list."""

    name = "lines"

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines

    @classmethod
    def create(cls, target: str) -> Self:
        return cls([])

    @classmethod
    def read(cls, target: str) -> JournalText:
        return JournalText(source=target, lines=())

    def append(self, line: bytes, durable: bool) -> None:
        self.lines.append(line)

    def close(self) -> None:
        """There is nothing to close."""


PROGRAM = """
import asyncio, json, pathlib, sys
from cloudllm_core import load_records
from cloudllm_core.testing import ScriptedProvider, stage
from cloudllm_mode_ralph import Ralph, RalphTask

async def picky(id, evidence):
    raise AssertionError("a replay asked a check")

tasks = [RalphTask(id, f"Task {id}", check=picky) for id in "ab"]
team = stage(Ralph(tasks, max_iterations=2, parallel=True), {"ada": ScriptedProvider(), "bob": ScriptedProvider()})
lines = pathlib.Path(sys.argv[1]).read_bytes().splitlines()
print(json.dumps(asyncio.run(team.replay(load_records(tuple(lines), "journal"))).to_json()))
"""


def test_a_replay_in_another_process(tmp_path: Path):
    """A fresh process with the same checks, by name, comes to the same result without calling one."""
    lines: list[bytes] = []
    run = simulate(lambda: team(True), seed=2, journal=Lines(lines))
    journal = tmp_path / "run.jsonl"
    journal.write_bytes(b"".join(lines))

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(journal)], capture_output=True, encoding="utf-8", timeout=60, check=False
    )

    assert 0 == done.returncode, done.stderr
    plainly = json.loads(json.dumps(run.result.to_json()))
    assert plainly | {"sessions_kept": None} == json.loads(done.stdout) | {"sessions_kept": None}


# -- settings -----------------------------------------------------------------

REFUSED = (
    "The check of task 'a' is {}. Give a command, such as 'python3 -m pytest -q', or, in Python, a function; "
    "or leave it out."
)


@pytest.mark.parametrize("check", ["", " \n", 3, True, ["exists"], {"name": "exists"}])
def test_a_check_is_a_function_or_a_command(check):
    """Anything else is refused with a sentence, in Python and in a team file alike."""
    with pytest.raises(TypeError, match=f"^{re.escape(REFUSED.format(repr(check)))}$"):
        task(check)
    with pytest.raises(SettingsError, match=re.escape(REFUSED.format(repr(check)))):
        Ralph.from_settings({"tasks": [{"id": "a", "title": "A", "check": check}]})


def named(check: Callable[..., Any] | None) -> Any:
    tasks: Any = Ralph([task(check)]).settings()["tasks"]
    return tasks[0]["check"]


def test_settings_name_a_check():
    """They are plain data: a check by its name, none as nothing."""
    assert (None, "has_canvas", "picky", "Gate") == tuple(map(named, (None, has_canvas, picky, Gate())))
    mode = Ralph([task(has_canvas)])
    assert mode.settings() == json.loads(json.dumps(mode.settings()))
