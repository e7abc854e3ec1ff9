"""The calculator: `evaluate` for people, and a tool that calls it for models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs

from cloudllm_core import ToolContext, ToolDefinition, ToolProtocol

from ._expressions import MAX_LENGTH, Expression, tokens_of
from ._faults import CalculatorError
from ._functions import CONSTANTS, FUNCTIONS
from ._numbers import Number

CALCULATOR = ToolDefinition(
    name="calculator",
    description=(
        "Compute an expression exactly. Operators: + - * / // (rounded down) % (remainder) ^ (power, also **) "
        f"! (factorial), with brackets. Constants: {', '.join(CONSTANTS)}. Functions (angles in radians, log to base "
        f"10, std and var of a sample): {', '.join(sorted(FUNCTIONS))}. Statistics take lists: mean([1, 2.5, 3])."
    ),
    parameters={
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "description": "Such as: 2 * (3 + 4)^2 - sqrt(var([1, 2, 4]))",
                "minLength": 1,
                "maxLength": MAX_LENGTH,
            }
        },
        "required": ["expression"],
        "additionalProperties": False,
    },
    effect="read",
    timeout=10.0,
)


def evaluate(expression: str) -> Number:
    """
    The value of *expression*, always finite: an int as long as it is whole and exact, else a float.

    Operators bind as in mathematics: ``-2^2`` is -4, ``2^3^2`` is 512. Angles are in radians.

    Raises:
        CalculatorError: it cannot be read, is too long or too deep, or has no finite real value.
    """
    if len(expression) > MAX_LENGTH:
        problem = f"The expression has {len(expression):,} characters, and {MAX_LENGTH:,} may be."
        raise CalculatorError(problem, "Compute it in parts.")
    return Expression(tokens_of(expression)).value()


@attrs.frozen
class Calculator(ToolProtocol):
    """One tool, ``calculator(expression)``, that gives a number."""

    name: ClassVar[str] = "calculator"

    def tools(self) -> Sequence[ToolDefinition]:
        return [CALCULATOR]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Number:
        if tool != CALCULATOR.name:
            raise CalculatorError(f"There is no tool {tool!r} here.", f"There is {CALCULATOR.name!r}.")
        return evaluate(arguments["expression"])
