"""The contract of context strategies: when a session is too long, and what to keep of it."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, Protocol

import attrs

from ._messages import Message
from ._settings import Configurable


@attrs.frozen(kw_only=True)
class Cut:
    """A place where a session may be cut without breaking a history."""

    index: int
    """Messages before it go, the rest stays."""

    turns_kept: int
    """How many turns begin at or after it."""

    tokens_after: int
    """The estimate for a request after this cut, instructions, tools and task included."""


@attrs.frozen(kw_only=True)
class ContextView:
    """A session, as its strategy sees it before a model call."""

    tokens: int
    """The estimate for the request: instructions, tool schemas and all messages."""

    budget: int
    messages: tuple[Message, ...]
    cuts: tuple[Cut, ...]
    """The legal cuts, oldest first; the turn under way is never cut."""

    pressed: bool = False
    """Whether room must be made however low the load: the provider found the request too long, or somebody decided."""

    @property
    def load(self) -> float:
        """Share of the budget that is used."""
        return self.tokens / self.budget if self.budget else 0.0


class Desk(Protocol):
    """What a strategy may do while it makes room. It is journalled and paid for as a turn is."""

    @property
    def thoughts(self) -> int:
        """How many thoughts the agent's chain holds; 0 also without a chain."""

    async def ask(self, prompt: str) -> str:
        """
        What the agent's own model answers to *prompt*, put to it after the messages that the cut takes away.

        Raises:
            RunError: the model did not answer, or that is too long as well.
        """

    async def commit(self, type: str, content: str, refs: Sequence[int] = ()) -> str | None:
        """
        Add to the agent's thought chain; references to no thought are left out.

        Returns:
            The prompt that restores the context of that thought; None where the agent keeps no thoughts.
        """


class ContextStrategy(Configurable, abc.ABC):
    """
    Decides when a session is too long and what to keep.

    Write a strategy::                              Offer it::

        @attrs.frozen                                   @hookimpl
        class Half(ContextStrategy):                    def cloudllm_register_context_strategy() -> type[Half]:
            name = "half"                                   return Half
            def choose(self, view): ...

    A strategy chooses among legal cuts and never slices messages itself. The task (the prompt that
    began the agent's part of a run) stays whatever is chosen.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def choose(self, view: ContextView) -> Cut | None:
        """
        The cut to make before this model call, or None to go on as it is. A pure function of *view*.

        Where the view is *pressed*, choose one that makes the request shorter, if there is any.
        """

    async def summarise(self, view: ContextView, cut: Cut, desk: Desk) -> str | None:
        """
        What takes the place of the messages that *cut* is about to take away; None is nothing.

        Nothing is lost before this returns. Where it raises, or gives more than it takes away, the cut
        is made without it. Await nothing but the desk.
        """
        return None
