"""Exact and bounded arithmetic, functions and statistics: a calculator that may be handed to a model."""

from cloudllm_core import hookimpl

from ._faults import CalculatorError
from .calculator import Calculator, evaluate

__all__ = ["Calculator", "CalculatorError", "evaluate"]


@hookimpl
def cloudllm_register_tool_protocol() -> type[Calculator]:
    return Calculator
