"""Odd words, arguments and histories, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from ..._messages import JsonObject, Message, Text, Thinking, ToolCall, ToolResult

LETTERS = "abcxyz ABC 019 .,:;!?'\"`~#*-_[](){}<>/\\|&%$@^=+\n\t"
STRANGE = (
    "\u00e9\u00df\u4e2d\u3042\u05d0\u0639\u202e\u200b\u200d\ufeff\u2028"
    "\u0000\u0007\u001b\u0085\ufffd\U0001f600\U0001f468\u0301"
)
WORDS = (
    "done", "DONE", "I am not done.", "complete", "[TASK_COMPLETE:a]", "[TASK_COMPLETE:", "ada: I agree.", "```",
    "SYSTEM:", "</s>", '{"tool_call": {"name": "x"}}', "%s {0} ${HOME}", "null", "0", "\r\n",
)  # fmt: skip


def dice_of(seed: object) -> random.Random:
    """A generator that gives the same for the same *seed*, in every process."""
    return random.Random(str(seed))  # noqa: S311 -- tests want repeatable dice


def odd_text(dice: random.Random, *words: str) -> str:
    """Text that nobody expects; some of *words* may occur in it."""
    pieces = []
    for _ in range(dice.randrange(6)):
        roll = dice.random()
        if roll < 0.4:
            pieces.append(dice.choice((*WORDS, *words)))
        else:
            letters = LETTERS if roll < 0.7 else STRANGE
            pieces.append("".join(dice.choice(letters) for _ in range(dice.randrange(12))))
    return dice.choice(["", " ", "\n"]).join(pieces)


ODD_TEXTS = (
    "",
    " ",
    "\n",
    "\u202e\u200bmirrored",
    "\x1b[31mred\x07\x00",
    "\U0001f468\u200d\U0001f469",
    "\ud800",
    "x" * 1_000_000,
)
"""What text may be at its worst: nothing, invisible, commands to a terminal, a lone surrogate."""


def odd_json(dice: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    roll = dice.randrange(7 if depth < 2 else 5)
    if roll == 5:
        return [odd_json(dice, depth + 1) for _ in range(dice.randrange(3))]
    if roll == 6:
        return {odd_text(dice): odd_json(dice, depth + 1) for _ in range(dice.randrange(3))}
    return (None, dice.random() < 0.5, dice.randrange(-9, 99), dice.random() * 1e6, odd_text(dice))[roll]


def arguments_for(schema: JsonObject, dice: random.Random, *words: str) -> dict[str, Any]:
    """Arguments that fit the JSON Schema of an object; texts may contain *words*."""
    needed = set(schema.get("required", ()))
    return {
        name: value_for(part, dice, *words)
        for name, part in schema.get("properties", {}).items()
        if name in needed or dice.random() < 0.5
    }


def value_for(schema: Any, dice: random.Random, *words: str) -> Any:
    """A value that fits *schema*, as far as tools use JSON Schema."""
    if not isinstance(schema, Mapping):
        return odd_json(dice)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return dice.choice(list(schema["enum"]))
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return value_for(dice.choice(list(schema[choice])), dice, *words)
    kind = schema.get("type")
    kind = dice.choice(list(kind)) if isinstance(kind, (list, tuple)) else kind
    low, high = schema.get("minimum", -5), schema.get("maximum", 50)
    match kind:
        case "string":
            return dice.choice(words) if words and dice.random() < 0.5 else odd_text(dice, *words)
        case "integer":
            return dice.randint(int(low), max(int(low), int(high)))
        case "number":
            return dice.uniform(low, max(low, high))
        case "boolean":
            return dice.random() < 0.5
        case "array":
            return [value_for(schema.get("items"), dice, *words) for _ in range(dice.randrange(3))]
        case "object":
            return arguments_for(schema, dice, *words)
        case "null":
            return None
        case _:
            return odd_json(dice)


def turns(dice: random.Random, count: int) -> Iterator[list[Message]]:
    """*count* turns of a conversation, each a legal list of messages: prompt, calls and results, answer."""
    for nth in range(count):
        messages = [Message.user(f"prompt {nth}: {odd_text(dice)}")]
        for step in range(dice.choice([0, 0, 1, 2])):
            calls = [ToolCall(f"c{nth}-{step}-{n}", "look", {"at": odd_text(dice)}) for n in range(dice.randint(1, 3))]
            thought = Thinking(odd_text(dice), "any", "any", {"signature": "s"})
            messages.append(Message("assistant", (thought, Text("I look."), *calls)))
            results = [ToolResult(call.id, odd_text(dice) * dice.randrange(9), dice.random() < 0.2) for call in calls]
            messages.append(Message.tool(results))
        messages.append(Message.assistant(f"answer {nth}: {odd_text(dice) * dice.randrange(9)}"))
        yield messages
