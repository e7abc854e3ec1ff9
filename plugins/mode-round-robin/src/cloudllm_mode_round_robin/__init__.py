"""RoundRobin: agents speak in turn, each building on what was said before."""

from __future__ import annotations

from typing import ClassVar

import attrs

from cloudllm_core import Hub, Mode, Outcome, hookimpl

__all__ = ["RoundRobin"]


@attrs.frozen
class RoundRobin(Mode):
    """
    Agents speak in turn, each hearing what was said since its last turn, for *rounds* rounds.

    Complete when everyone spoke in every round. An agent that fails loses its turn; the others go on.
    """

    name: ClassVar[str] = "round-robin"
    rounds: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        turns = self.rounds * len(hub.agents)
        for _ in range(self.rounds):
            async with hub.round() as number:
                for nth, agent in enumerate(hub.agents, 1):
                    await hub.try_ask(agent, prompt, reason=f"round-robin turn, round {number}")
                    hub.progress((number - 1) * len(hub.agents) + nth, turns)
        return Outcome(complete=hub.everyone_spoke)


@hookimpl
def cloudllm_register_mode() -> type[RoundRobin]:
    return RoundRobin
