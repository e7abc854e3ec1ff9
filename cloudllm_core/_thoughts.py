"""
The contract of thought chains: an agent's own notes, across runs.

The types, the meaning of references and the two prompts are the original's.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import attrs

from ._messages import Json, JsonObject
from ._settings import Configurable
from .errors import SetupError


class ThoughtType(enum.StrEnum):
    """What a thought is; any other word will do as well."""

    FINDING = "Finding"
    DECISION = "Decision"
    TASK_COMPLETE = "TaskComplete"
    CHECKPOINT = "Checkpoint"
    QUESTION = "Question"
    HANDOFF = "Handoff"
    COMPRESSION = "Compression"
    IDLE_COMPRESSION = "IdleCompression"


@attrs.frozen(kw_only=True)
class Thought:
    """One note of an agent."""

    index: int
    """Counts from 0."""

    at: float
    """Seconds since 1970, by the clock of whoever wrote it."""

    agent: str
    type: str
    content: str
    refs: tuple[int, ...] = ()
    """Indices of earlier thoughts that this one builds on."""

    meta: JsonObject = attrs.Factory(dict)
    """What goes with it, as JSON; ``agent`` says who the agent was."""

    def __str__(self) -> str:
        refs = f"\n  refs: {', '.join(map(str, self.refs))}" if self.refs else ""
        return f"[#{self.index}] {self.type} ({self.agent}): {self.content}{refs}"


class ThoughtChain(Configurable, abc.ABC):
    """
    An agent's own notes, across runs.

    Write a chain::                                 Offer it::

        class Diary(ThoughtChain):                      @hookimpl
            name = "diary"                              def cloudllm_register_thought_chain() -> type[Diary]:
            ...                                             return Diary

    Thoughts are only ever added. Its methods may be called from any thread.
    """

    name: ClassVar[str]

    @property
    @abc.abstractmethod
    def thoughts(self) -> Sequence[Thought]:
        """All of them, by index. Raises: whatever the chain says when it cannot be read or believed."""

    @abc.abstractmethod
    def append(
        self, agent: str, type: str, content: str, refs: Iterable[int] = (), meta: JsonObject | None = None
    ) -> Thought:
        """
        Add a thought; when this returns, it is kept.

        Raises:
            SetupError: a reference is to no earlier thought, or *meta* is not JSON.
        """

    def for_agent(self, who: JsonObject) -> ThoughtChain:
        """The chain of the agent *who* (see `identity`), for a place that keeps many; this one by default."""
        return self

    def close(self) -> None:
        """Let go of files; the next call opens them again."""

    def commit(self, who: JsonObject, type: str, content: str, refs: Iterable[int] = (), exposed: str = "") -> Thought:
        """
        As `append`, for the agent *who*, whose identity goes along where the chain does not end with it already;
        *exposed* says what text from outside the team may stand in *content*.
        """
        meta: dict[str, Json] = {"agent": dict(who)} if self.identity() != dict(who) else {}
        return self.append(who["name"], type, content, refs, meta | ({"exposed": exposed} if exposed else {}))

    def exposed(self, index: int) -> str:
        """What text from outside the team may stand in the thought at *index* and what it builds on; empty if none."""
        said = (thought.meta.get("exposed") for thought in self.resolve_context(index))
        return next((str(source) for source in said if source), "")

    def checked_refs(self, refs: Iterable[int]) -> tuple[int, ...]:
        """*refs* in order, each once. Raises: SetupError: one is to no earlier thought."""
        count, wanted = len(self.thoughts), tuple(refs)
        for ref in wanted:
            if type(ref) is not int or not 0 <= ref < count:
                there = f"thoughts 0 to {count - 1}" if count else "no thoughts yet"
                raise SetupError(f"A thought cannot refer to {ref!r}: the chain holds {there}.")
        return tuple(sorted(set(wanted)))

    def resolve_context(self, index: int) -> tuple[Thought, ...]:
        """
        The thought at *index* and all that it builds on, however far back, by index.

        Raises:
            SetupError: there is no such thought.
        """
        thoughts = self.thoughts
        if not 0 <= index < len(thoughts):
            raise SetupError(f"The chain holds {len(thoughts)} thoughts, and none with the index {index}.")
        found: set[int] = set()
        open_ = [index]
        while open_:
            at = open_.pop()
            if at not in found and 0 <= at < len(thoughts):
                found.add(at)
                open_.extend(thoughts[at].refs)
        return tuple(thoughts[at] for at in sorted(found))

    def to_bootstrap_prompt(self, index: int) -> str:
        """What an agent is told to take up again where the thought at *index* left off."""
        lines = "\n".join(map(str, self.resolve_context(index)))
        return f"=== RESTORED CONTEXT (from ThoughtChain) ===\n{lines}\n=== END RESTORED CONTEXT ==="

    def to_catchup_prompt(self, count: int) -> str:
        """The last *count* thoughts, for an agent to catch up with; empty if there are none."""
        recent = list(self.thoughts)[-count:] if count > 0 else []
        lines = "\n".join(map(str, recent))
        return f"=== RECENT CONTEXT ===\n{lines}\n=== END RECENT CONTEXT ===" if recent else ""

    def identity(self) -> dict[str, Json] | None:
        """Who the agent was when it last said so: name, model, instructions, tools ...; None if it never did."""
        said = (thought.meta.get("agent") for thought in reversed(self.thoughts))
        return next((dict(who) for who in said if isinstance(who, Mapping) and "name" in who), None)
