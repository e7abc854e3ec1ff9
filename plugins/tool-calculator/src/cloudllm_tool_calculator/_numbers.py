"""
Arithmetic on whole numbers and floats that always ends soon: finite results only, of a bounded size.

Whole numbers stay exact as long as they are whole (``6 / 3`` is 2); their size is estimated before
anything is computed, so no power can eat the memory.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from ._faults import CalculatorError

Number: TypeAlias = int | float

MAX_BITS = 10_000
"""The largest whole number, in bits: about 3,000 digits."""

TOO_LARGE = "The result is too large"
FLOATS = "Whole numbers may have about 3,000 digits, others about 308 before the point."


def finite(value: Number) -> Number:
    """*value*, if it is a number of a size that may be. Raises: CalculatorError."""
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise CalculatorError(f"{TOO_LARGE}.", FLOATS)
    elif math.isnan(value):
        raise CalculatorError("The result is not a number.", "Check which values the functions allow.")
    elif math.isinf(value):
        raise CalculatorError(f"{TOO_LARGE}.", FLOATS)
    return value


def room_for(bits: int) -> None:
    """Raises: CalculatorError: a whole number of *bits* would be too large; nothing has been computed."""
    if bits > MAX_BITS + 1:  # the estimate may be one bit too high
        raise CalculatorError(f"{TOO_LARGE}: it would have about {bits * 3 // 10:,} digits.", FLOATS)


def whole(value: Number, what: str) -> int:
    """*value* as an int, for *what*. Raises: CalculatorError: it is none."""
    if isinstance(value, float) and not value.is_integer():
        raise CalculatorError(f"{what} needs whole numbers, and {value!r} is none.", "Use round, floor or ceil first.")
    return int(value)


def add(left: Number, right: Number) -> Number:
    return left + right


def subtract(left: Number, right: Number) -> Number:
    return left - right


def multiply(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        room_for(left.bit_length() + right.bit_length())
    return left * right


def _not_by_zero(right: Number) -> None:
    if right == 0:
        raise CalculatorError("Division by zero has no value.", "Check the divisor.")


def divide(left: Number, right: Number) -> Number:
    """The quotient; exact where it is a whole number of whole numbers."""
    _not_by_zero(right)
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return left / right


def divide_down(left: Number, right: Number) -> Number:
    """The quotient, rounded down."""
    _not_by_zero(right)
    return left // right


def modulo(left: Number, right: Number) -> Number:
    """What is left of *left* after whole steps of *right*; it has the sign of *right*, so ``-7 % 3`` is 2."""
    _not_by_zero(right)
    return left % right


def power(base: Number, exponent: Number) -> Number:
    """*base* to the *exponent*. Raises: CalculatorError: there is no real value, or no room for it."""
    if base == 0 and exponent < 0:
        raise CalculatorError("Zero has no negative powers: that divides by zero.", "Check the exponent.")
    if isinstance(base, int) and isinstance(exponent, int):
        if abs(base) <= 1:
            return int(base ** (abs(exponent) % 2 + 2 * (exponent != 0)))  # 1, -1 and 0 at once, whatever the exponent
        if exponent >= 0:
            room_for((abs(base).bit_length() - 1) * exponent)
            return int(base**exponent)
        if -exponent * (abs(base).bit_length() - 1) > 1100:
            return 0.0  # less than the smallest float; a large base is no float, and Python would give up
    if base < 0 and isinstance(exponent, float) and not exponent.is_integer():
        problem = "A negative number has no real power that is not whole."
        raise CalculatorError(problem, "For an odd root of it, negate: -(8^(1/3)), or use cbrt.")
    return float(base**exponent)
