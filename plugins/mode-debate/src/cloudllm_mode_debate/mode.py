"""
Debate: agents argue in turn until they agree, or the last round is over.

Each hears all arguments since it last spoke, states a position, and challenges the others. From the
second round on, when everybody could answer everybody, the mode measures how far the positions of that
round agree *with each other*, and ends the debate once they agree enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from cloudllm_core import Event, Hub, Mode, Outcome, Reply
from cloudllm_core.errors import SetupError

from .agreement import Scorer, as_scorer, jaccard, measure, name_of


@attrs.frozen(kw_only=True)
class ConvergenceChecked(Event):
    """The agreement of a round was measured; *converged* says whether it reached *threshold*."""

    round: int
    score: float
    threshold: float
    converged: bool


@attrs.frozen
class Debate(Mode):
    """
    Agents argue in turn, for at most *max_rounds* rounds, until their agreement is *convergence_threshold*.

    Agreement is what *scorer* (the name of one of ours, or a function) makes of the texts of one round;
    it is measured after every round from the second on in which two agents answered at least. Complete
    when it reaches the threshold. The score is the agreement in the last round, None if it was not measured.
    """

    name: ClassVar[str] = "debate"
    max_rounds: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    convergence_threshold: float = attrs.field(default=0.75, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    scorer: Scorer = attrs.field(default=jaccard, converter=as_scorer)

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        if len(hub.agents) < 2:
            raise SetupError("A debate takes two agents or more, and here is one. Add another, or choose another mode.")
        score: float | None = None
        positions: list[Reply] = []
        converged = False
        for _ in range(self.max_rounds):
            async with hub.round() as number:
                positions = await self.one_round(hub, prompt, number)
                score = self.agreement(number, positions)
                converged = score is not None and score >= self.convergence_threshold
                if score is not None:
                    hub.announce(
                        ConvergenceChecked(
                            round=number, score=score, threshold=self.convergence_threshold, converged=converged
                        )
                    )
            if converged:
                break
        return Outcome(
            complete=converged,
            score=score,
            answer="\n\n".join(f"{reply.agent}: {reply.text}" for reply in positions) or None,
            stop_reason="completed" if converged else "max_rounds",
        )

    async def one_round(self, hub: Hub, prompt: str, number: int) -> list[Reply]:
        """What those say who do not fail, in order."""
        positions: list[Reply] = []
        for nth, agent in enumerate(hub.agents, 1):
            reply = await hub.try_ask(agent, prompt, note=self.instructions(number), reason=f"debate, round {number}")
            if reply is not None:
                positions.append(reply)
            hub.progress((number - 1) * len(hub.agents) + nth, self.max_rounds * len(hub.agents))
        return positions

    def instructions(self, number: int) -> str:
        """What a turn of round *number* is for."""
        return (
            f"This is round {number} of a debate of {self.max_rounds} at most. Consider every argument you have heard. "
            "State your position and your reasons; acknowledge the strong points of the others, challenge the weak "
            "ones, and say so plainly if you have changed your mind."
        )

    def agreement(self, number: int, positions: Sequence[Reply]) -> float | None:
        """How far *positions* agree; None in the first round, whose first speaker has heard nobody, or of one alone."""
        if number < 2 or len(positions) < 2:
            return None
        return measure(self.scorer, tuple(reply.text for reply in positions))

    def settings(self) -> dict[str, object]:
        """As of every mode; the scorer by its name."""
        return {**super().settings(), "scorer": name_of(self.scorer)}
