"""What expressions are worth: the original's functions, and precedence as mathematics has it."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_tool_calculator import evaluate


def exact(expression: str) -> tuple[type, int | float]:
    """The value with its type: 2 and 2.0 differ."""
    value = evaluate(expression)
    return type(value), value


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2 + 3", 5),
        ("10 - 4", 6),
        ("6 * 7", 42),
        ("15 / 3", 5),
        ("1 / 2", 0.5),
        ("2 ^ 8", 256),
        ("2 ** 8", 256),
        ("17 % 5", 2),
        ("-7 % 3", 2),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("2^-1", 0.5),
        ("5!", 120),
        ("0^0", 1),
        ("10^40 / 10^39", 10),
        ("(-1)^(10^30 + 1)", -1),
        ("(-1)^-3", -1),
        ("0!", 1),
        ("1000! / 999!", 1000),
        ("sqrt(10^400)", 10**200),
        ("sqrt(2.25)", 1.5),
        ("abs(-42)", 42),
        ("1e3", 1000.0),
        (".5 + 5.", 5.5),
        ("3 \u00d7 4 \u00f7 2 \u2212 1", 5),
    ],
)
def test_arithmetic_is_exact_where_it_can_be(expression: str, expected: float) -> None:
    """Whole results of whole numbers are ints of any size, all others floats."""
    assert (type(expected), expected) == exact(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("-2^2", -4),
        ("(-2)^2", 4),
        ("2^3^2", 512),
        ("2^-2", 0.25),
        ("2^-1^2", 0.5),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("10 - 4 - 3", 3),
        ("64 / 8 / 2", 4),
        ("6 / 2 * 3", 9),
        ("2 * -3", -6),
        ("--2", 2),
        ("-3!", -6),
        ("2^3!", 64),
        ("-5 % 3", 1),
        ("2 * 7 % 4", 2),
        ("10 % 4 * 3", 6),
    ],
)
def test_operators_bind_as_in_mathematics(expression: str, expected: float) -> None:
    """A power is stronger than a sign and goes from the right; the rest goes from the left."""
    assert expected == evaluate(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("mean([1,2])+1", 2.5),
        ("max(2,3)*2", 6),
        ("2/csc(1)", 2 * math.sin(1)),
        ("2^csc(1)", 2 ** (1 / math.sin(1))),
        ("2/log(100)", 1),
        ("log(1000)^2", 9),
        ("log(log(10^10))", 1),
        ("sqrt(var([1,2,4]))", statistics.stdev([1, 2, 4])),
        ("log10(1000)", 3),
        ("1/2", 0.5),
        ("mode([3,1,3,1])", 1),
        ("sum([1,2]) / count([1,2])", 1.5),
        ("mean([2^2, sqrt(16)])", 4),
    ],
)
def test_what_the_original_got_wrong_is_right(expression: str, expected: float) -> None:
    """Rewritten text lost precedence, ignored what followed a statistic, and took literals only: not here."""
    assert expected == pytest.approx(evaluate(expression), rel=1e-14)


@pytest.mark.parametrize("x", [0.25, 0.5, -0.75])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("sin", math.sin),
        ("cos", math.cos),
        ("tan", math.tan),
        ("csc cosec", lambda x: 1 / math.sin(x)),
        ("sec", lambda x: 1 / math.cos(x)),
        ("cot", lambda x: math.cos(x) / math.sin(x)),
        ("asin arcsin", math.asin),
        ("acos arccos", math.acos),
        ("atan arctan math::atan", math.atan),
        ("sinh", math.sinh),
        ("cosh", math.cosh),
        ("tanh", math.tanh),
        ("csch cosech", lambda x: 1 / math.sinh(x)),
        ("sech", lambda x: 1 / math.cosh(x)),
        ("coth", lambda x: 1 / math.tanh(x)),
        ("asinh arcsinh arsinh", math.asinh),
        ("atanh arctanh artanh", math.atanh),
        ("exp math.exp", math.exp),
        ("cbrt", math.cbrt),
        ("degrees", math.degrees),
        ("radians", math.radians),
    ],
)
def test_functions_are_those_of_the_books(names: str, expected: object, x: float) -> None:
    """Each function of the original by each of its names, and a few more, against Python's."""
    assert callable(expected)
    for name in names.split():
        assert expected(x) == pytest.approx(evaluate(f"{name}({x})"), rel=1e-14)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("arcosh(2) - acosh(2)", 0),
        ("ln(e)", 1),
        ("log(100)", 2),
        ("log2(8)", 3),
        ("log(81, 3)", 4),
        ("log(10^400)", 400),
        ("floor(-2.5)", -3),
        ("ceil(2.1)", 3),
        ("trunc(-2.9)", -2),
        ("sign(-0.1)", -1),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(0.49999999999999994)", 0),
        ("round(2.675, 2)", 2.68),
        ("round(1250, -2)", 1300),
        ("round(1.5, 10^9)", 1.5),
        ("round(5, -1)", 10),
        ("round(4, -1)", 0),
        ("round(0.05, 1)", 0.1),
        ("round(-1e-320, 1)", 0),
        ("round(15, -(10^9))", 0),
        ("min(3, 1, 2)", 1),
        ("max([3, 1], 5)", 5),
        ("sin(PI / 2)", 1),
        ("tau / \u03c0", 2),
        ("comb(5, 2)", 10),
        ("comb(2, 5)", 0),
        ("perm(5, 2)", 20),
        ("gcd(12, 18, 8)", 2),
        ("lcm(4, 6)", 12),
        ("hypot(3, 4)", 5),
        ("pow(2, 10)", 1024),
        ("mod(-7, 3)", 2),
        ("atan2(1, 1) * 4 - pi", 0),
        ("(10^400)^-1", 0),
        ("2^-1074 * 2^1000 * 2^74", 1),
        ("2^-1200", 0),
    ],
)
def test_other_functions(expression: str, expected: float) -> None:
    """Logarithms, rounding (halves away from zero), whole numbers and constants."""
    assert expected == pytest.approx(evaluate(expression), rel=1e-14, abs=1e-14)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("mean([1, 2, 3, 4])", 2.5),
        ("mean([1, 3])", 2),
        ("median([5, 1, 3])", 3),
        ("median([4, 1, 2, 8])", 3),
        ("mode([1, 2, 2, 3])", 2),
        ("mean(7) + median(7) + mode(7) + min(7) + max(7) + sum(7)", 42),
        ("stdpop(7) + varpop([7])", 0),
        ("gcd(-7) + lcm(7) + hypot(-7)", 21),
        ("std([2, 4, 4, 4, 5, 5, 7, 9])", statistics.stdev([2, 4, 4, 4, 5, 5, 7, 9])),
        ("stdpop([2, 4, 4, 4, 5, 5, 7, 9])", 2),
        ("var([1, 2, 3, 4])", 5 / 3),
        ("varpop([1, 2, 3, 4])", 1.25),
        ("sum([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])", 1.0),
        ("sum([])", 0),
        ("count(1, 2, [3])", 3),
        ("std(1, 2) ^ 2", 0.5),
        ("mean( [ 1.5 ,2.5 ] )", 2),
        ("mean([10^16, 1, -(10^16)])", 1 / 3),
    ],
)
def test_statistics(expression: str, expected: float) -> None:
    """Of lists and single values, samples by n-1, without losing digits on the way."""
    assert expected == pytest.approx(evaluate(expression), rel=1e-15)


def test_rounding_gives_whole_numbers() -> None:
    """Unless places behind the point are asked for."""
    assert [int, int, float] == [
        type(evaluate(text)) for text in ("round(1e20)", "round(1234.5, -2)", "round(1.25, 1)")
    ]


WHOLE = st.integers(-20, 20).map(lambda n: f"({n})")
BROKEN = st.floats(-100, 100, allow_subnormal=False).map(lambda x: f"({x!r})")


def expressions(numbers: st.SearchStrategy[str], *operators: str) -> st.SearchStrategy[str]:
    """Arithmetic that both Python and the calculator can read."""

    def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return (
            st.tuples(parts, st.sampled_from(operators), parts).map(" ".join)
            | parts.map(lambda inner: f"-{inner}")
            | parts.map(lambda inner: f"({inner})")
            | st.tuples(parts, st.sampled_from(["0", "2", "3"])).map("**".join)
        )

    return st.recursive(numbers, joined, max_leaves=8)


def python(expression: str) -> int | float | None:
    """What Python makes of it; None if that is nothing to compare with."""
    try:
        value = eval(expression)
    except (ArithmeticError, ValueError):
        return None
    return value if isinstance(value, (int, float)) and abs(value) < 1e12 else None


@given(expressions(WHOLE, "+", "-", "*", "//", "%"))
def test_agrees_with_python_on_whole_numbers(expression: str) -> None:
    """Exactly, signs, precedence, quotients and remainders included."""
    if (expected := python(expression)) is not None:
        assert expected == evaluate(expression)


@given(expressions(WHOLE | BROKEN, "+", "-", "*", "/"))
def test_agrees_with_python_on_all_numbers(expression: str) -> None:
    """But for the last digits: a quotient that is whole stays exact here."""
    if (expected := python(expression)) is not None:
        assert expected == pytest.approx(evaluate(expression), rel=1e-9, abs=1e-6)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=20))
def test_statistics_do_not_depend_on_order(values: list[int]) -> None:
    """A statistic is of the values, not of their order, and what can be exact is."""
    for name in ("mean", "median", "mode", "std", "stdpop", "var", "varpop", "sum", "count", "min", "max"):
        assert evaluate(f"{name}({sorted(values)})") == evaluate(f"{name}({values})")
    assert statistics.mean(values) == evaluate(f"mean({values})")
