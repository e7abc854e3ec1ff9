"""Parallel: all agents work on the prompt at once; replies arrive as they finish."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from cloudllm_core import Hub, Mode, Outcome, Reply, hookimpl
from cloudllm_core.errors import SetupError

__all__ = ["Parallel"]


def _any_all_or_a_number(_: object, __: object, require: object) -> None:
    if require not in ("any", "all") and (
        isinstance(require, (bool, str)) or not isinstance(require, int) or require < 1
    ):
        raise ValueError(f"Parallel(require={require!r}): give 'any', 'all' or how many agents must reply")


@attrs.frozen
class Parallel(Mode):
    """
    All agents are asked at once, for *rounds* rounds; from the second on, each has heard the others.

    Complete when *require* is met in the last round: ``"any"`` reply, ``"all"`` agents, or a number of
    them. With *stop_early*, a round ends as soon as that is so, and what the rest were doing is
    cancelled cleanly. The score is the share of agents that replied in the last round.
    """

    name: ClassVar[str] = "parallel"
    rounds: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    require: Literal["any", "all"] | int = attrs.field(default="any", validator=_any_all_or_a_number)
    stop_early: bool = False

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        enough = self.enough(len(hub.agents))
        replies: list[Reply] = []
        for _ in range(self.rounds):
            async with hub.round() as number:
                replies = await self.one_round(hub, prompt, number, enough)
        met = len(replies) >= enough
        return Outcome(
            complete=met,
            score=len(replies) / len(hub.agents),
            answer="\n\n".join(f"{reply.agent}: {reply.text}" for reply in replies) or None,
            stop_reason="completed" if met else "failed",
        )

    async def one_round(self, hub: Hub, prompt: str, number: int, enough: int) -> list[Reply]:
        """The replies of one round, in the order in which they arrived."""
        replies: list[Reply] = []
        async with hub.ask_all(hub.agents, prompt, reason=f"parallel, round {number}") as arriving:
            async for reply in arriving:
                replies.append(reply)
                hub.progress(len(replies), len(hub.agents))
                if self.stop_early and len(replies) >= enough:
                    break
        return replies

    def enough(self, agents: int) -> int:
        """How many replies *require* asks of *agents* agents. Raises: SetupError: more than there are agents."""
        if self.require == "any":
            return 1
        if self.require == "all":
            return agents
        if int(self.require) > agents:
            raise SetupError(f"Parallel(require={self.require}) can never be met by {agents} agents. Ask for fewer.")
        return int(self.require)


@hookimpl
def cloudllm_register_mode() -> type[Parallel]:
    return Parallel
