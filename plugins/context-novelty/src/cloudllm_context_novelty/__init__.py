"""NoveltyAware: makes room when a session is nearly full, or rather full and saying little that is new."""

from __future__ import annotations

from cloudllm_core import hookimpl

from .measure import Measure, bigram_novelty
from .strategy import NoveltyAware

__all__ = ["Measure", "NoveltyAware", "bigram_novelty"]


@hookimpl
def cloudllm_register_context_strategy() -> type[NoveltyAware]:
    return NoveltyAware
