"""
Moderated: a moderator chooses which expert speaks, round by round, and sums up.

It chooses with the tool ``choose_speaker(name, reason)``, or, without tools, by an answer that is an
expert's name and nothing else; names inside sentences choose nobody. If there is no choice it is asked
once more; after that the expert who has waited longest speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from cloudllm_core import Event, Hub, Mode, Outcome, Tool, tool
from cloudllm_core.errors import SetupError, near_miss

SYNTHESIS = (
    "The discussion is over. Answer the user now: bring together what the experts said, and say where they disagree."
)


@attrs.frozen(kw_only=True)
class SpeakerChosen(Event):
    """An expert takes the floor: the moderator's choice or, if that was not *understood*, who waited longest."""

    moderator: str
    agent: str
    reason: str
    understood: bool


@attrs.frozen
class Moderated(Mode):
    """
    In each round *moderator* chooses one of the other agents, the experts, and that one speaks.

    After the last round it gives a synthesis, which is the answer. Complete when that was given; without
    *synthesize*, when an expert spoke. An expert that fails loses its turn.
    """

    name: ClassVar[str] = "moderated"
    moderator: str
    rounds: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    synthesize: bool = True

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        waiting, total, answer = self.experts(hub), self.rounds + self.synthesize, None
        for _ in range(self.rounds):
            async with hub.round() as number:
                chosen = await self.choose(hub, prompt, waiting, number)
                hub.announce(chosen)
                waiting.remove(chosen.agent)
                waiting.append(chosen.agent)
                reason = chosen.reason or f"chosen by {self.moderator}"
                reply = await hub.try_ask(chosen.agent, prompt, note=self.floor(chosen), reason=reason)
                answer = reply.text if reply else answer
                hub.progress(number, total)
        if answer is None:  # no expert spoke: there is nothing to sum up
            return Outcome(complete=False, stop_reason="failed")
        if self.synthesize:
            reply = await hub.try_ask(self.moderator, prompt, note=SYNTHESIS, reason="synthesis")
            if not reply or not reply.text.strip():
                return Outcome(complete=False, answer=answer, stop_reason="failed")
            hub.progress(total, total)
            answer = reply.text
        return Outcome(complete=True, answer=answer)

    def experts(self, hub: Hub) -> list[str]:
        """Everybody but the moderator. Raises: SetupError: there is no such moderator, or nobody else."""
        if self.moderator not in hub.agents:
            near, known = near_miss(self.moderator, hub.agents) or "Name one of them.", ", ".join(hub.agents)
            raise SetupError(f"Moderated: no agent is called {self.moderator!r} (agents: {known}). {near}")
        experts = [agent for agent in hub.agents if agent != self.moderator]
        if not experts:
            raise SetupError(f"Moderated: {self.moderator!r} has nobody to give the floor to. Add another agent.")
        return experts

    async def choose(self, hub: Hub, prompt: str, waiting: Sequence[str], number: int) -> SpeakerChosen:
        """Who speaks in this round: the moderator's choice, made in two attempts at most, or the first of *waiting*."""
        picks: list[tuple[str, str]] = []
        note = invitation = self.invitation(hub, number)
        for verb in ("chooses a speaker", "chooses again"):
            refused = ["Your answer is not the name of an expert and nothing else."]
            tools = [self.choose_speaker(hub, picks, refused)]
            reply = await hub.try_ask(self.moderator, prompt, note=note, tools=tools, reason=f"{verb}, round {number}")
            if reply and reply.text.strip() in waiting:
                picks.append((reply.text.strip(), ""))
            if picks or reply is None:
                break
            note = f"You have not chosen anybody. {refused[-1]}\n\n{invitation}"
        agent, reason = picks[0] if picks else (waiting[0], "nobody was chosen, and it has waited longest")
        return SpeakerChosen(moderator=self.moderator, agent=agent, reason=reason, understood=bool(picks))

    def choose_speaker(self, hub: Hub, picks: list[tuple[str, str]], refused: list[str]) -> Tool[..., object]:
        """The tool by which the moderator chooses, once in a round: mode code, so it is composite."""
        experts = self.experts(hub)

        @tool(effect="composite")
        async def choose_speaker(name: str, reason: str) -> str:
            """Give one of the experts the floor. Call it once.

            Args:
                name: the expert's name, exactly as in the list
                reason: why this expert should speak now; the expert is told
            """
            if picks:
                return f"You gave the floor to {picks[0][0]!r} already; the next choice comes in the next round."
            if name.strip() not in experts:
                near = near_miss(name, experts)
                refused.append(f"No expert is called {name!r} (experts: {', '.join(experts)}). {near}".rstrip())
                return refused[-1]
            picks.append((name.strip(), reason.strip()))
            return f"{name.strip()!r} speaks after this turn of yours."

        return choose_speaker

    def invitation(self, hub: Hub, number: int) -> str:
        """What the moderator is told when it is to choose: who there is, and how."""
        about = [f"{agent}: {hub.describe(agent)}".removesuffix(": ") for agent in self.experts(hub)]
        lines = "\n".join(f"- {line}" for line in about)
        return (
            f"You are the moderator, and this is round {number} of {self.rounds}. The experts:\n{lines}\n\n"
            "Do not answer the user yourself now. Choose who speaks next: call choose_speaker with a name and your "
            "reason (or, without tools, answer with the name and nothing else)."
        )

    def floor(self, chosen: SpeakerChosen) -> str:
        """What an expert is told when it is to speak."""
        if not chosen.understood:
            return "Nobody was chosen, and you have waited longest: you have the floor."
        return f"{self.moderator}, the moderator, gave you the floor" + (f": {chosen.reason}" if chosen.reason else ".")
