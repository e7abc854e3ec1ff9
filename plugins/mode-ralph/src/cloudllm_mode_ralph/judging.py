"""How a claim is judged: by the check of its task, outside the mode."""

from __future__ import annotations

from cloudllm_core import Hub, ToolProtocol
from cloudllm_core.errors import EffectError

from .checklist import Checklist
from .shell import Shell


async def judge(
    hub: Hub, shell: ToolProtocol | None, checklist: Checklist, agent: str, id: str, evidence: str
) -> str | None:
    """What the check of *id* has against the *evidence* of *agent*; None if nothing, or if there is no check."""
    task = checklist.task(id)
    if task is None or task.check is None:
        return None
    checklist.judged += 1
    name, check = f"check {id}", task.check
    if not isinstance(check, str):
        try:
            return rejection(await hub.do(name, check, id, evidence))
        except EffectError as problem:
            return f"The check failed: {problem.problem}"
    run = Shell.of(shell)
    by_command = run.check(check, agent, hub.run_id, checklist.judged)
    try:
        async with hub.timeout(run.tool.timeout):
            # It may leave files, evidence in them: not a "read", for those who watch where a text gets to.
            return rejection(await hub.do(name, by_command, id, evidence, effect="idempotent"))
    except EffectError as problem:
        return f"The check could not be run: {problem.problem}"
    except TimeoutError:
        return "The check could not be run: its shell gave no result in time."


def rejection(said: object) -> str | None:
    """What is wrong, by what a check *said*; None if it accepts."""
    if said is True:
        return None
    if isinstance(said, str) and said.strip():
        return said.strip()
    if said is False or isinstance(said, str):
        return "The check did not accept the evidence."
    return f"The check gave {said!r} where it should give True, False or a text."
