"""Parallel: all agents work on the prompt at once; replies arrive as they finish."""

from cloudllm_core import hookimpl

from .aggregate import Aggregator, Quorum
from .mode import Parallel, VotesCounted

__all__ = ["Aggregator", "Parallel", "Quorum", "VotesCounted"]


@hookimpl
def cloudllm_register_mode() -> type[Parallel]:
    return Parallel
