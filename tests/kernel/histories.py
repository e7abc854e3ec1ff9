"""Arbitrary parts, messages and histories, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cloudllm_core import Image, Message, Private, Text, Thinking, ToolCall, ToolResult

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WORDS = TEXTS.filter(str.strip)
IDS = st.sampled_from(["a", "b", "c"])
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(TEXTS, JSON, max_size=2)
CALLS = st.builds(ToolCall, IDS, TEXTS, ARGUMENTS) | st.builds(
    ToolCall, IDS, TEXTS, st.just({}), problem=TEXTS, raw=st.none() | TEXTS
)
RESULTS = st.builds(ToolResult, IDS, TEXTS, st.booleans())
PARTS: Any = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Thinking, TEXTS, TEXTS, TEXTS, JSON),
    st.builds(Private, TEXTS, TEXTS, JSON),
    st.builds(Image, TEXTS, st.none() | TEXTS, st.none() | TEXTS),
    CALLS,
    RESULTS,
)


def messages() -> Any:
    """Any message, whatever its role and parts; often none that a provider would take."""
    likely = st.one_of(
        st.builds(Message, st.just("user"), st.lists(st.builds(Text, TEXTS), max_size=2)),
        st.builds(Message, st.just("assistant"), st.lists(st.builds(Text, TEXTS) | CALLS, max_size=3)),
        st.builds(Message, st.just("tool"), st.lists(RESULTS, max_size=3)),
    )
    anything = st.builds(Message, st.sampled_from(["user", "assistant", "tool"]), st.lists(PARTS, max_size=3))
    return likely | anything


@st.composite
def legal(draw: st.DrawFn) -> list[Message]:
    """A history that every provider takes."""
    history: list[Message] = []
    for number in range(draw(st.integers(0, 4))):
        history.append(Message.user(*draw(st.lists(WORDS, min_size=1, max_size=2))))
        for _ in range(draw(st.integers(0, 2))):
            ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
            text = draw(st.just("") | WORDS)
            history.append(Message.assistant(text, *[ToolCall(id, "look", draw(ARGUMENTS)) for id in ids]))
            history.append(Message.tool([ToolResult(id, draw(TEXTS)) for id in ids]))
        if number < 3 or draw(st.booleans()):
            history.append(Message("assistant", (Text(draw(WORDS)),)))
    return history
