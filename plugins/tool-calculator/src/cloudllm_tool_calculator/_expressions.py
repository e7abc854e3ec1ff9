"""
Expressions, read and computed in one pass.

A Pratt parser (V. Pratt, "Top Down Operator Precedence", 1973): each operator has a strength, and an
operand goes to the stronger side. There are numbers, names out of two tables, brackets and operators,
and nothing else, so there is nothing to escape to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NoReturn

import attrs

from cloudllm_core.errors import near_miss

from ._faults import CalculatorError
from ._functions import ALIASES, CONSTANTS, FUNCTIONS, apply
from ._numbers import MAX_BITS, TOO_LARGE, Number, add, divide, divide_down, finite, modulo, multiply, power, subtract

MAX_LENGTH = 10_000
"""Characters of an expression."""

MAX_DEPTH = 50
"""Brackets inside brackets, signs before signs, powers of powers."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>(?:math(?:::|\.))?[A-Za-z_][A-Za-z0-9_]*|\u03c0)"
    r"|(?P<sign>\*\*|//|[-+*/%^!()\[\],\u00d7\u00b7\u00f7\u2212]))"
)
_SPELT: Mapping[str, str] = {"**": "^", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u03c0": "pi"}

_ADDING, _MULTIPLYING, _NEGATING, _RAISING = 1, 2, 3, 4

_OPERATORS: Mapping[str, tuple[int, Callable[[Number, Number], Number]]] = {
    "+": (_ADDING, add),
    "-": (_ADDING, subtract),
    "*": (_MULTIPLYING, multiply),
    "/": (_MULTIPLYING, divide),
    "//": (_MULTIPLYING, divide_down),
    "%": (_MULTIPLYING, modulo),
    "^": (_RAISING, power),
}


@attrs.frozen
class Token:
    """A word of an expression; of the kind ``end`` where it ends."""

    kind: str
    text: str
    position: int
    """Counted from 1."""


def tokens_of(text: str) -> list[Token]:
    """*text* as tokens, the end included. Raises: CalculatorError: there is something that none begins with."""
    tokens, at = [], 0
    while found := _TOKEN.match(text, at):
        kind = found.lastgroup or ""
        word = found[kind]
        tokens.append(Token(kind, _SPELT.get(word, word), found.start(kind) + 1))
        at = found.end()
    if rest := text[at:].lstrip():
        problem = f"{rest[0]!r} means nothing here."
        remedy = "Use numbers, + - * / // % ^ !, brackets and functions."
        raise CalculatorError(problem, remedy, len(text) - len(rest) + 1)
    return [*tokens, Token("end", "", len(text) + 1)]


def _wrong(token: Token, problem: str, remedy: str = "") -> NoReturn:
    raise CalculatorError(problem, remedy, token.position)


def _computed(token: Token, compute: Callable[..., Number], *values: Number) -> Number:
    """What *compute* makes of *values*; an error names the place of *token*."""
    try:
        return finite(compute(*values))
    except OverflowError:
        _wrong(token, f"{TOO_LARGE}.", "Use smaller numbers.")
    except CalculatorError as problem:
        problem.position = problem.position or token.position
        raise


@attrs.define(eq=False)
class Expression:
    """An expression, read from left to right."""

    tokens: list[Token]
    at: int = 0
    depth: int = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def expect(self, sign: str, opened: Token) -> None:
        if self.next.text == sign:
            self.take()
            return
        self.refuse_neighbour()
        remedy = f"The bracket opened at character {opened.position} needs its {sign!r}."
        _wrong(self.next, f"{sign!r} is expected, not {self.shown(self.next)}.", remedy)

    def shown(self, token: Token) -> str:
        return "the end" if token.kind == "end" else repr(token.text[:30])

    def value(self) -> Number:
        """The value of the whole. Raises: CalculatorError."""
        result = self.operation(0)
        if self.next.kind == "end":
            return result
        self.refuse_neighbour()
        if self.next.text == ",":
            _wrong(self.next, "A comma separates values of a function.", "Write 1000, not 1,000.")
        _wrong(self.next, f"{self.shown(self.next)} has no partner.", "Check the brackets.")

    def refuse_neighbour(self) -> None:
        """Nothing is multiplied by standing side by side: 2pi may as well be a slip."""
        if self.next.kind in ("number", "name") or self.next.text in ("(", "["):
            problem = f"There is no operator before {self.shown(self.next)}."
            _wrong(self.next, problem, "Write * to multiply; decimals have a point.")

    def operation(self, strength: int) -> Number:
        """The value of what follows, up to an operator weaker than *strength*."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            _wrong(self.next, f"It is nested more than {MAX_DEPTH} deep.", "Compute it in parts.")
        left = self.operand()
        while (token := self.next).text in _OPERATORS:
            power_of, compute = _OPERATORS[token.text]
            if power_of < strength:
                break
            self.take()
            # Powers go from the right, 2^3^2 is 2^9; all else goes from the left.
            right = self.operation(power_of if power_of == _RAISING else power_of + 1)
            left = _computed(token, compute, left, right)
        self.depth -= 1
        return left

    def operand(self) -> Number:
        token = self.take()
        if token.text in ("-", "+"):
            value = self.operation(_NEGATING)
            return -value if token.text == "-" else value
        if token.kind == "number":
            value = _literal(token)
        elif token.kind == "name":
            value = self.named(token)
        elif token.text == "(":
            value = self.operation(0)
            self.expect(")", token)
        else:
            self.refuse_operand(token)
        while self.next.text == "!":
            value = _computed(self.take(), lambda n: apply("factorial", (n,)), value)
        return value

    def refuse_operand(self, token: Token) -> NoReturn:
        before = self.tokens[self.at - 2] if self.at > 1 else None
        if token.text == "[":
            _wrong(token, "A list can only be given to a function.", "Write for instance mean([1, 2, 3]).")
        if before is not None and before.text == "%":
            remedy = "% is the remainder of a division; for 50 per cent write 50/100."
            _wrong(token, f"A number is expected after %, not {self.shown(token)}.", remedy)
        _wrong(token, f"A number is expected, not {self.shown(token)}.", "Check what stands before it.")

    def named(self, token: Token) -> Number:
        """A constant, or a function of what stands in its brackets."""
        name = re.sub(r"^math(::|\.)", "", token.text).lower()
        name = ALIASES.get(name, name)
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name not in FUNCTIONS:
            known = [*FUNCTIONS, *CONSTANTS]
            remedy = near_miss(name[:60], known) or f"There are {', '.join(sorted(known))}."
            _wrong(token, f"The name {token.text[:60]!r} is unknown.", remedy)
        if self.next.text != "(":
            _wrong(token, f"{name} is a function.", f"Write its values in brackets: {name}(...).")
        values = self.values(self.take(), lists=FUNCTIONS[name].most is None)
        return _computed(token, lambda *given: apply(name, given), *values)

    def values(self, opened: Token, *, lists: bool) -> list[Number]:
        """The values up to the bracket that closes *opened*; a list among them counts as its values."""
        closing, values = {"(": ")", "[": "]"}[opened.text], list[Number]()
        while self.next.text != closing:
            if self.next.text == "[" and lists:
                values += self.values(self.take(), lists=False)
            else:
                values.append(self.operation(0))
            if self.next.text != ",":
                break
            comma = self.take()
            if self.next.text == closing:
                _wrong(comma, "A value is expected after the comma.", "Remove the comma, or add the value.")
        self.expect(closing, opened)
        return values


def _literal(token: Token) -> Number:
    text = token.text
    if re.fullmatch("0[0-9]+", text):
        _wrong(token, f"{text[:30]!r} begins with 0.", "Write 1000, not 1,000; and 7, not 007.")
    if not text.isdecimal():
        return _computed(token, float, text)  # type: ignore[arg-type]
    if len(text) > MAX_BITS * 3 // 10:
        _wrong(token, f"A number of {len(text):,} digits is too large.", "Use one like 1.5e300.")
    return int(text)
