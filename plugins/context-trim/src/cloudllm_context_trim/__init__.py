"""Trim: the oldest turns of a session go when it fills up, or when there are more than you want."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from cloudllm_core import ContextStrategy, ContextView, Cut, hookimpl

__all__ = ["Trim"]


@attrs.frozen
class Trim(ContextStrategy):
    """
    Drops the oldest turns.

    Args:
        turns: keep at most the last so many turns, the one under way included; None keeps any number.
        threshold: a request that fills more than this share of the budget is trimmed.
        target: the share to trim it down to, or as near as the legal cuts come.
    """

    name: ClassVar[str] = "trim"

    turns: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    threshold: float = attrs.field(default=0.85, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    target: float = attrs.field(default=0.6, validator=attrs.validators.ge(0))

    @target.validator
    def _below_threshold(self, attribute: attrs.Attribute[float], value: float) -> None:
        if value > self.threshold:
            raise ValueError(f"'target' ({value}) must not be above 'threshold' ({self.threshold})")

    def choose(self, view: ContextView) -> Cut | None:
        """The later of the cuts that *turns* and the budget ask for, or None if neither asks; *pressed* asks always."""
        cuts = [cut for cut in view.cuts if cut.tokens_after < view.tokens]
        asked = [cut for cut in (self._by_turns(cuts, view), self._by_budget(cuts, view)) if cut is not None]
        return max(asked, key=lambda cut: cut.index, default=None)

    def _by_turns(self, cuts: Sequence[Cut], view: ContextView) -> Cut | None:
        if self.turns is None or not cuts:
            return None
        before = sum(message.role == "user" for message in view.messages[: cuts[0].index])
        if before + cuts[0].turns_kept <= self.turns:
            return None
        few = [cut for cut in cuts if cut.turns_kept <= self.turns] or cuts[-1:]
        most = max(cut.turns_kept for cut in few)
        return next(cut for cut in reversed(few) if cut.turns_kept == most)

    def _by_budget(self, cuts: Sequence[Cut], view: ContextView) -> Cut | None:
        if not cuts or not (view.pressed or view.load > self.threshold):
            return None
        # what was too long for the provider is the measure then, however large the budget
        whole = max(1, min(view.tokens, view.budget)) if view.pressed else view.budget
        return next((cut for cut in cuts if cut.tokens_after / whole <= self.target), cuts[-1])


@hookimpl
def cloudllm_register_context_strategy() -> type[Trim]:
    return Trim
