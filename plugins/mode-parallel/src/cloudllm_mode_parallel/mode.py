"""
Parallel: all agents work on the prompt at once; replies arrive as they finish.

After the last round the replies stand side by side, or *aggregate* makes one answer of them. The first
reply, or enough that agree, end a round at once: what the others were doing is cancelled cleanly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import attrs

from cloudllm_core import Event, Hub, Mode, Outcome, Reply
from cloudllm_core.errors import SetupError

from .aggregate import Aggregate, Aggregator, Quorum, as_aggregate, chosen, count, from_plain, taking_part

SYNTHESIS = (
    "The others have answered, each on its own. Answer the user now: bring together what they said, and say where "
    "they disagree."
)


def _any_all_or_a_number(_: object, __: object, require: object) -> None:
    if require not in ("any", "all") and (
        isinstance(require, (bool, str)) or not isinstance(require, int) or require < 1
    ):
        raise ValueError(f"Parallel(require={require!r}): give 'any', 'all' or how many agents must reply")


@attrs.frozen(kw_only=True)
class VotesCounted(Event):
    """The replies of a round were counted, for a vote or a quorum: *votes* of *total* gave *answer*."""

    round: int
    answer: str
    """As it was said first."""

    votes: int
    total: int
    tally: Mapping[str, int]
    """Every answer, as it was said first, and its votes."""


@attrs.frozen
class Parallel(Mode):
    """
    All agents are asked at once, for *rounds* rounds; from the second on, each has heard the others.

    *aggregate* makes one answer of the last round's replies: ``"first"`` takes the first one, ``"vote"``
    the most frequent one, ``Quorum(n)`` one that n agents agree on (in any round), and an agent's name
    has that agent, which takes no part in the rounds, give the answer after them.

    Complete when *require* is met in the last round (``"any"`` reply, ``"all"`` agents, or a number of
    them) and *aggregate*, if set, found an answer. With *stop_early*, a round ends as soon as *require* is
    met. The score is the share of agents that replied in the last round.
    """

    name: ClassVar[str] = "parallel"
    rounds: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    require: Literal["any", "all"] | int = attrs.field(default="any", validator=_any_all_or_a_number)
    stop_early: bool = False
    aggregate: Aggregate = attrs.field(default=None, converter=as_aggregate)

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        agents = taking_part(self.aggregate, hub.agents)
        self.enough(len(agents))  # or say so before anybody is asked
        replies: list[Reply] = []
        for _ in range(self.rounds):
            async with hub.round() as number:
                replies = await self.one_round(hub, prompt, agents, number)
                self.count_votes(hub, replies, number)
            if isinstance(self.aggregate, Quorum) and self.settled(replies, len(agents), number):
                break
        return await self.outcome(hub, prompt, replies, len(agents))

    async def outcome(self, hub: Hub, prompt: str, replies: Sequence[Reply], agents: int) -> Outcome:
        """What *replies*, those of the last round, come to."""
        met = len(replies) >= self.enough(agents)
        side_by_side = "\n\n".join(f"{reply.agent}: {reply.text}" for reply in replies) or None
        answer = side_by_side if self.aggregate is None else chosen(self.aggregate, texts_of(replies))
        if isinstance(self.aggregate, Aggregator) and met:
            answer = await self.synthesis(hub, prompt, self.aggregate.agent)
        disagree = met and isinstance(self.aggregate, Quorum)
        return Outcome(
            complete=met and answer is not None,
            score=len(replies) / agents,
            answer=side_by_side if answer is None else answer,
            stop_reason="completed" if met and answer is not None else "max_rounds" if disagree else "failed",
        )

    async def one_round(self, hub: Hub, prompt: str, agents: Sequence[str], number: int) -> list[Reply]:
        """The replies of one round, in the order in which they arrived."""
        replies: list[Reply] = []
        async with hub.ask_all(agents, prompt, reason=f"parallel, round {number}") as arriving:
            async for reply in arriving:
                replies.append(reply)
                hub.progress(len(replies), len(hub.agents))
                if self.settled(replies, len(agents), number):
                    break
        return replies

    def settled(self, replies: Sequence[Reply], agents: int, number: int) -> bool:
        """Whether round *number* need not wait for more than *replies*."""
        if len(replies) < self.enough(agents):
            return False
        if isinstance(self.aggregate, Quorum) or (self.aggregate == "first" and number == self.rounds):
            return chosen(self.aggregate, texts_of(replies)) is not None
        return self.stop_early

    def count_votes(self, hub: Hub, replies: Sequence[Reply], number: int) -> None:
        """Announce how often each answer was given, where that decides."""
        tally = count(texts_of(replies))
        if tally and (isinstance(self.aggregate, Quorum) or (self.aggregate == "vote" and number == self.rounds)):
            answer, votes = next(iter(tally.items()))
            total = sum(tally.values())
            hub.announce(VotesCounted(round=number, answer=answer, votes=votes, total=total, tally=tally))

    async def synthesis(self, hub: Hub, prompt: str, agent: str) -> str | None:
        """The answer that *agent* gives after it has heard the others; None if it fails or says nothing."""
        reply = await hub.try_ask(agent, prompt, note=SYNTHESIS, reason="synthesis")
        if reply is None or not reply.text.strip():
            return None
        hub.progress(len(hub.agents), len(hub.agents))
        return reply.text

    def enough(self, agents: int) -> int:
        """How many replies *require* asks of *agents* agents. Raises: SetupError: more than there are agents."""
        if self.require == "any":
            return 1
        if self.require == "all":
            return agents
        if int(self.require) > agents:
            raise SetupError(f"Parallel(require={self.require}) can never be met by {agents} agents. Ask for fewer.")
        return int(self.require)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """As of every mode; *aggregate* may be a table: ``{ quorum = 2 }`` or ``{ agent = "name" }``."""
        read = {"aggregate": from_plain(settings["aggregate"])} if "aggregate" in settings else {}
        return super().from_settings({**settings, **read})


def texts_of(replies: Sequence[Reply]) -> list[str]:
    return [reply.text for reply in replies]
