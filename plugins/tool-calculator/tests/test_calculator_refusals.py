"""What the calculator refuses, in which words, and that nothing makes it run away."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudllm_core import Agent
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_tool_calculator import Calculator, CalculatorError, evaluate

PER_CENT = "% is the remainder of a division; for 50 per cent write 50/100."
ROOT = "For an odd root of it, negate: -(8^(1/3)), or use cbrt."
SIZES = "Whole numbers may have about 3,000 digits, others about 308 before the point."


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "At character 1: A number is expected, not the end. Check what stands before it."),
        ("1 +", "At character 4: A number is expected, not the end. Check what stands before it."),
        ("2pi", "At character 2: There is no operator before 'pi'. Write * to multiply; decimals have a point."),
        ("(2 pi)", "At character 4: There is no operator before 'pi'. Write * to multiply; decimals have a point."),
        ("1 + $2", "At character 5: '$' means nothing here. Use numbers, + - * / // % ^ !, brackets and functions."),
        ("mean([[1]])", "At character 7: A list can only be given to a function. Write for instance mean([1, 2, 3])."),
        ("1,000", "At character 2: A comma separates values of a function. Write 1000, not 1,000."),
        ("max(1,000)", "At character 7: '000' begins with 0. Write 1000, not 1,000; and 7, not 007."),
        ("50% ", f"At character 5: A number is expected after %, not the end. {PER_CENT}"),
        ("(1", "At character 3: ')' is expected, not the end. The bracket opened at character 1 needs its ')'."),
        ("1)", "At character 2: ')' has no partner. Check the brackets."),
        ("flor(1)", "At character 1: The name 'flor' is unknown. Did you mean 'floor'?"),
        ("sin", "At character 1: sin is a function. Write its values in brackets: sin(...)."),
        ("[1, 2]", "At character 1: A list can only be given to a function. Write for instance mean([1, 2, 3])."),
        ("sum(1,)", "At character 6: A value is expected after the comma. Remove the comma, or add the value."),
        ("mean([])", "At character 1: mean takes 1 value or more, and here are 0. Check the brackets."),
        ("std([1])", "At character 1: std takes 2 values or more, and here are 1. Check the brackets."),
        ("sin(1, 2)", "At character 1: sin takes 1 value, and here are 2. Check the brackets."),
        ("round()", "At character 1: round takes 1 or 2 values, and here are 0. Check the brackets."),
        ("1/0", "At character 2: Division by zero has no value. Check the divisor."),
        ("1 // 0", "At character 3: Division by zero has no value. Check the divisor."),
        ("1 % 0.0", "At character 3: Division by zero has no value. Check the divisor."),
        ("mod(1, 0)", "At character 1: Division by zero has no value. Check the divisor."),
        ("csc(0)", "At character 1: Division by zero has no value. Check the divisor."),
        ("(-1)!", "At character 5: factorial takes whole numbers from 0 to 1,000. Use another number."),
        ("comb(-1, 2)", "At character 1: comb needs numbers from 0. Check the signs."),
        ("0^-1", "At character 2: Zero has no negative powers: that divides by zero. Check the exponent."),
        ("sqrt(-1)", "At character 1: sqrt(-1) has no real value. It lies outside of what the function takes."),
        ("acosh(0.5)", "At character 1: acosh(0.5) has no real value. It lies outside of what the function takes."),
        ("exp(1000)", "At character 1: exp of a number that large has no finite value here. Use smaller ones."),
        ("1e999", f"At character 1: The result is too large. {SIZES}"),
        ("1e200 * 1e200", f"At character 7: The result is too large. {SIZES}"),
        ("10^400 * 1.5", "At character 8: The result is too large. Use smaller numbers."),
        ("(-8)^(1/3)", f"At character 5: A negative number has no real power that is not whole. {ROOT}"),
        ("2.5!", "At character 4: factorial needs whole numbers, and 2.5 is none. Use round, floor or ceil first."),
        ("log(8, 1)", "At character 1: There is no logarithm to base 1. Choose another base."),
    ],
)
def test_a_refusal_says_where_why_and_what_to_do(expression: str, says: str) -> None:
    """The sentence is all a model has to go on."""
    with pytest.raises(CalculatorError) as refused:
        evaluate(expression)
    assert says == str(refused.value)


@pytest.mark.parametrize(
    "bomb",
    [
        "9**9**9",
        "9^9^9^9^9",
        "2**10**9",
        "-(10^3)^(10^8)",
        "factorial(10**6)",
        "1000!!",
        "comb(10^9, 10^8)",
        "perm(10^9, 10^8)",
        "pow(10^999, 999)",
        "lcm(10^2999 - 1, 10^2998 - 1, 10^2997 - 1)",
        "10^2000 * 10^2000",
        "9" * 3_001,
        "var([10^2000, 1])",
        "(" * 51 + "1" + ")" * 51,
        "-" * 60 + "1",
        "1 + " * 200 + "(" * 51 + "1" + ")" * 51,
        "2" + "^2" * 60,
        "sin(" * 60 + "1" + ")" * 60,
        "1+" * 5_001 + "1",
    ],
)
def test_bombs_are_refused_unexploded(bomb: str) -> None:
    """What would be huge, deep or long is refused before it is computed."""
    with pytest.raises(CalculatorError, match=r"too large|that large|deep|characters|factorial takes"):
        evaluate(bomb)


@pytest.mark.parametrize(
    "escape",
    [
        "__import__('os').system('id')",
        "().__class__",
        "pi.real",
        "math.factorial.__self__",
        "'a' * 10^9",
        "lambda: 1",
        "[x for x in [1]]",
        "1 if 1 else 2",
        "1j",
        "x := 1",
        "True",
        "nan",
        "inf",
        "f(1)",
        "\0",
        "1\n;2",
    ],
)
def test_there_is_nowhere_to_escape_to(escape: str) -> None:
    """There are no names beyond the tables, no attributes, no text, no code."""
    with pytest.raises(CalculatorError):
        evaluate(escape)


def test_what_stands_side_by_side_is_not_deep() -> None:
    """Only nesting counts, up to fifty levels."""
    assert 200 == evaluate(" + ".join(["(1)"] * 200))
    assert 1 == evaluate("(" * 49 + "1" + ")" * 49)
    assert 1_900 == evaluate(f"sum({', '.join(['(1)'] * 1_900)})")


WORDS = (
    "( ) [ ] , + - * / // % ^ ** ! 0 1 2 7 0.5 1e300 1e-300 99999999 10^400 pi e ) ( "
    "sin( ln( log( sqrt( std( var( mean( mode( round( factorial( comb( lcm( max( median( atan2( hypot("
)
PIECES = st.lists(st.sampled_from(WORDS.split(" ")), max_size=40).map(" ".join)
NAMES = "sin csc acosh atanh ln log sqrt cbrt round factorial comb perm gcd mean std mode pow"
EDGES = "0 -1 0.5 -0.0 1e308 -1e308 5e-324 10^2999 -(10^9) 10^9 1000"
CALLS = st.builds(
    lambda name, values: f"{name}({', '.join(values)})",
    st.sampled_from(NAMES.split(" ")),
    st.lists(st.sampled_from(EDGES.split(" ")), max_size=3),
)


@given(st.text(max_size=200) | PIECES | CALLS)
@example("\ud800")
@example("\u0661 + \u0662")
@example("1e308 - -1e308")
@example("0 * 1e308 * 10")
@example("round(10^2999, -2999) + round(0.1, 400)")
def test_any_text_gives_a_finite_number_or_a_sentence(text: str) -> None:
    """There is no third way out: no infinity, no other error, no truth value."""
    try:
        value = evaluate(text)
    except CalculatorError as problem:
        told = str(problem)
    else:
        assert type(value) in (int, float)
        told = str(value) if math.isfinite(value if isinstance(value, float) else 0) else ""
    assert told


def test_an_agent_computes() -> None:
    """A model's call gives it the number, and a wrong one the sentence."""
    provider = ScriptedProvider(
        [call("calculator", expression="2^100"), call("calculator", expression="1/0"), call("calculator")], "Done."
    )
    ada = Agent("ada", provider, tools=[Calculator()])

    asyncio.run(ada.send("Compute."))

    results = [result.content for message in ada.session.messages for result in message.tool_results]
    assert str(2**100) == results[0]
    assert "CalculatorError: At character 2: Division by zero has no value. Check the divisor." == results[1]
    assert "no 'expression'" in results[2]


def test_it_is_found_by_name() -> None:
    """A team file may ask for it."""
    ada = Agent("ada", ScriptedProvider("Yes."), tools=["calculator"])

    assert ("calculator",) == ada.list_tools()
