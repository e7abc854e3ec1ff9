"""
The functions and constants by name.

Names and meanings are those of the original (CloudLLM for Rust, `Calculator`) where it had them: angles
in radians, ``log`` to base 10, ``std`` and ``var`` of a sample (n-1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from ._faults import CalculatorError
from ._numbers import Number, divide, finite, modulo, power, room_for, whole

Values: TypeAlias = tuple[Number, ...]

MAX_FACTORIAL = 1_000


@attrs.frozen
class Function:
    """One function: what computes it, and how many values it takes."""

    compute: Callable[..., Number]
    least: int
    most: int | None
    """None: any number of them, and a list counts as its values."""


CONSTANTS: Mapping[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}


def _log(x: Number, base: Number = 10) -> float:
    if base == 1:
        raise CalculatorError("There is no logarithm to base 1.", "Choose another base.")
    if base in (2, 10):
        return math.log2(x) if base == 2 else math.log10(x)
    return math.log(x) / math.log(base)


def _sqrt(x: Number) -> Number:
    if isinstance(x, int) and x >= 0 and (root := math.isqrt(x)) ** 2 == x:
        return root
    return math.sqrt(x)


def _round(x: Number, digits: Number = 0) -> Number:
    """To the nearest, halves away from zero, as people and the original round (Python rounds them to even)."""
    places = whole(digits, "round")
    if isinstance(x, int) and places >= 0:
        return x
    from decimal import ROUND_HALF_UP, Context, Decimal

    exact = Decimal(repr(x)) if isinstance(x, float) else Decimal(x)
    if places > 330 or exact.adjusted() + 1 < -places:  # nothing to round, or nothing left
        return x if places > 0 else 0
    wide = Context(prec=4_000, rounding=ROUND_HALF_UP)
    rounded = exact.quantize(Decimal(1).scaleb(-places), context=wide)
    return float(rounded) if places > 0 else int(rounded)


def _sign(x: Number) -> int:
    return (x > 0) - (x < 0)


def _factorial(n: Number) -> int:
    number = whole(n, "factorial")
    if not 0 <= number <= MAX_FACTORIAL:
        raise CalculatorError(f"factorial takes whole numbers from 0 to {MAX_FACTORIAL:,}.", "Use another number.")
    return math.factorial(number)


def _chosen(compute: Callable[[int, int], int], what: str) -> Callable[[Number, Number], int]:
    def chosen(n: Number, k: Number) -> int:
        of, some = whole(n, what), whole(k, what)
        if of < 0 or some < 0:
            raise CalculatorError(f"{what} needs numbers from 0.", "Check the signs.")
        steps = min(some, of - some) if what == "comb" else min(some, of)
        room_for(of.bit_length() * max(steps, 0))
        return compute(of, some)

    return chosen


def _whole_ones(compute: Callable[..., int], what: str) -> Callable[..., int]:
    def computed(*values: Number) -> int:
        result = 0 if what == "gcd" else 1
        for value in values:
            result = int(finite(compute(result, whole(value, what))))
        return result

    return computed


def _inverse(fn: Callable[[float], float]) -> Callable[[Number], Number]:
    """The reciprocal of *fn*: csc is 1/sin."""
    return lambda x: divide(1, fn(x))


# -- statistics ---------------------------------------------------------------


def _statistic(name: str) -> Callable[..., Number]:
    """Python's own, which computes with exact fractions; loaded when it is first wanted."""

    def computed(*values: Number) -> Number:
        import statistics

        compute: Callable[[Values], Any] = getattr(statistics, name)
        result = compute(values)
        return result if isinstance(result, int) else float(result)

    return computed


def _median(*values: Number) -> Number:
    ordered = sorted(values)
    upper, lower = ordered[len(ordered) // 2], ordered[(len(ordered) - 1) // 2]
    return upper if upper == lower else divide(upper + lower, 2)


def _mode(*values: Number) -> Number:
    """The most frequent; of several, the smallest, so that order does not matter."""
    counts: dict[Number, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    most = max(counts.values())
    return min(value for value, count in counts.items() if count == most)


def _sum(*values: Number) -> Number:
    return sum(values) if all(isinstance(value, int) for value in values) else math.fsum(values)


_ONE: Mapping[str, Callable[..., Number]] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "csc": _inverse(math.sin),
    "sec": _inverse(math.cos),
    "cot": lambda x: divide(math.cos(x), math.sin(x)),
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "csch": _inverse(math.sinh),
    "sech": _inverse(math.cosh),
    "coth": _inverse(math.tanh),
    "asinh": math.asinh,
    "acosh": math.acosh,
    "atanh": math.atanh,
    "ln": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "exp": math.exp,
    "sqrt": _sqrt,
    "cbrt": math.cbrt,
    "abs": abs,
    "sign": _sign,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "degrees": math.degrees,
    "radians": math.radians,
    "factorial": _factorial,
}
_TWO: Mapping[str, Callable[..., Number]] = {
    "pow": power,
    "mod": modulo,
    "atan2": math.atan2,
    "comb": _chosen(math.comb, "comb"),
    "perm": _chosen(math.perm, "perm"),
}
_MANY: Mapping[str, tuple[Callable[..., Number], int]] = {
    "mean": (_statistic("mean"), 1),
    "median": (_median, 1),
    "mode": (_mode, 1),
    "std": (_statistic("stdev"), 2),
    "stdpop": (_statistic("pstdev"), 1),
    "var": (_statistic("variance"), 2),
    "varpop": (_statistic("pvariance"), 1),
    "sum": (_sum, 0),
    "count": (lambda *values: len(values), 0),
    "min": (lambda *values: min(values), 1),
    "max": (lambda *values: max(values), 1),
    "hypot": (math.hypot, 1),
    "gcd": (_whole_ones(math.gcd, "gcd"), 1),
    "lcm": (_whole_ones(math.lcm, "lcm"), 1),
}

FUNCTIONS: Mapping[str, Function] = {
    **{name: Function(compute, 1, 1) for name, compute in _ONE.items()},
    **{name: Function(compute, 2, 2) for name, compute in _TWO.items()},
    "log": Function(_log, 1, 2),
    "round": Function(_round, 1, 2),
    **{name: Function(compute, least, None) for name, (compute, least) in _MANY.items()},
}

ALIASES: Mapping[str, str] = {
    **{f"{arc}{name}": f"a{name}" for arc in ("arc", "ar") for name in ("sinh", "cosh", "tanh")},
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan")},
    "arctan2": "atan2",
    "cosec": "csc",
    "cotan": "cot",
    "cosech": "csch",
    "average": "mean",
    "avg": "mean",
    "stdev": "std",
    "variance": "var",
    "sgn": "sign",
}
"""Other names, the original's among them."""


def apply(name: str, values: Values) -> Number:
    """
    The function *name* of *values*.

    Raises:
        CalculatorError: too few or too many of them, or the function has no finite real value there.
    """
    function = FUNCTIONS[name]
    if len(values) < function.least or (function.most is not None and len(values) > function.most):
        raise CalculatorError(f"{name} takes {_count(function)}, and here are {len(values)}.", "Check the brackets.")
    try:
        return finite(function.compute(*values))
    except OverflowError:
        raise CalculatorError(f"{name} of a number that large has no finite value here.", "Use smaller ones.") from None
    except ValueError:
        shown = ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value)[:30] for value in values[:3])
        problem = f"{name}({shown}) has no real value."
        raise CalculatorError(problem, "It lies outside of what the function takes.") from None


def _count(function: Function) -> str:
    least, most = function.least, function.most
    if most is None:
        return f"{least} value{'s' * (least != 1)} or more"
    return f"{least} value{'s' * (least != 1)}" if least == most else f"{least} or {most} values"
