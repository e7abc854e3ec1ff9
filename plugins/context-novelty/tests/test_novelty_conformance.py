"""NoveltyAware keeps what every context strategy promises."""

from __future__ import annotations

from typing import ClassVar

import pytest

from cloudllm_context_novelty import NoveltyAware
from cloudllm_core import ContextStrategy, ContextView, Cut, Desk
from cloudllm_core.testing.conformance import ContextStrategyContract


class Newest(ContextStrategy):
    """Keeps the turn under way, and a line about the rest."""

    name: ClassVar[str] = "newest"

    def choose(self, view: ContextView) -> Cut | None:
        return next((cut for cut in reversed(view.cuts) if view.pressed and cut.tokens_after < view.tokens), None)

    async def summarise(self, view: ContextView, cut: Cut, desk: Desk) -> str | None:
        return await desk.ask("What was it about?")


class TestNoveltyAware(ContextStrategyContract):
    """As it comes, around a strategy that acts only when it must."""

    @pytest.fixture
    def strategy(self) -> ContextStrategy:
        return NoveltyAware(Newest())
