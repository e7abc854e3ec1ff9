"""Debate: agents argue in turn until they agree, or the last round is over."""

from cloudllm_core import hookimpl

from .agreement import Scorer, jaccard
from .mode import ConvergenceChecked, Debate

__all__ = ["ConvergenceChecked", "Debate", "Scorer", "jaccard"]


@hookimpl
def cloudllm_register_mode() -> type[Debate]:
    return Debate
