"""One turn of one agent outside an orchestration: a run of its own, so that the same guarantees hold."""

from __future__ import annotations

from collections.abc import Callable

from ._calls import Member
from ._limits import Limits
from ._messages import Reply
from ._run import Run, RunResult
from ._turn import take_turn


def alone(
    member: Member, text: str, limits: Limits, on_end: Callable[[Run], None], hide: Callable[[str], str] = str
) -> Run:
    """
    Start a run in which *member* takes one turn; *on_end* is called before its result is there, and *hide* takes
    secrets out of it.
    """
    member.session.clean(hide)
    start = {
        "orchestration": member.name,
        "mode": "send",
        "agents": [member.to_json()],
        "prompt": text,
    }

    async def story(run: Run) -> Reply:
        with run.spine.hold(member.name):
            return await take_turn(run, member, [text], task=text)

    def summary(run: Run) -> RunResult:
        on_end(run)
        main = run.spine.main
        reply = main.result if main else None
        replies = (reply,) if isinstance(reply, Reply) else ()
        return RunResult(
            run_id=run.id,
            answer=replies[0].text if replies else None,
            complete=bool(replies),
            stop_reason="completed" if replies else "failed",
            messages=replies,
            usage=member.usage,
            usage_by_agent={member.name: member.usage},
            error=run.spine.failure or (main.error if main else None),
        )

    return Run.begin(start, story, summary, sessions={member.name: member.session.text}, limits=limits, hide=hide)


def reply_of(result: RunResult) -> Reply:
    """What was said. Raises: whatever ended the run."""
    if result.error is not None:
        raise result.error
    return result.messages[0]
