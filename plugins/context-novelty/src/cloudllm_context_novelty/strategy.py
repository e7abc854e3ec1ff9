"""When room is made; another strategy decides how."""

from __future__ import annotations

from typing import ClassVar

import attrs

from cloudllm_core import ContextStrategy, ContextView, Cut, Desk

from .measure import Measure, bigram_novelty, text_of


def _share(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name!r} ({value}) must be from 0 to 1")


@attrs.frozen
class NoveltyAware(ContextStrategy):
    """
    Has *inner* make room at high load, or at moderate load when little new is being said.

    The thresholds and the measure are those of the original's strategy of this name.

    Args:
        inner: the strategy that makes room; its own threshold does not count.
        high: above this share of the budget room is made in any case.
        moderate: above this share room is made if the novelty is low.
        novelty: what is below this is low.
        window: how many of the last messages are measured against those before.
        measure: gives the novelty of recent texts against earlier ones; `bigram_novelty` if None. It must
            give the same for the same texts, or a run with it cannot be replayed.
    """

    name: ClassVar[str] = "novelty"

    inner: ContextStrategy = attrs.field()
    high: float = attrs.field(default=0.9, validator=_share)
    moderate: float = attrs.field(default=0.7, validator=_share)
    novelty: float = attrs.field(default=0.3, validator=_share)
    window: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    measure: Measure | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.is_callable())
    )

    @inner.validator
    def _a_strategy(self, attribute: attrs.Attribute[ContextStrategy], value: object) -> None:
        if not isinstance(value, ContextStrategy):
            raise TypeError(f"'inner' must be a context strategy, not {value!r}")

    @moderate.validator
    def _below_high(self, attribute: attrs.Attribute[float], value: float) -> None:
        if value > self.high:
            raise ValueError(f"'moderate' ({value}) must not be above 'high' ({self.high})")

    def choose(self, view: ContextView) -> Cut | None:
        """What *inner* chooses when it must choose something; None while there is room, or news."""
        return self.inner.choose(_pressed(view)) if view.pressed or self._asks(view) else None

    async def summarise(self, view: ContextView, cut: Cut, desk: Desk) -> str | None:
        """What *inner* writes."""
        return await self.inner.summarise(_pressed(view), cut, desk)

    def _asks(self, view: ContextView) -> bool:
        if view.load > self.high:
            return True
        if view.load <= self.moderate or not view.cuts:
            return False
        texts = [text_of(message) for message in view.messages]
        measure = self.measure or bigram_novelty
        return measure(texts[-self.window :], texts[: -self.window]) < self.novelty


def _pressed(view: ContextView) -> ContextView:
    return attrs.evolve(view, pressed=True)
