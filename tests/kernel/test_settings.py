"""Plain data becomes objects, and a mistake in it is named."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NewType, NotRequired, Required, TypedDict

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core._settings import Configurable, from_settings, hints_of, plain, required_keys, show, structure
from cloudllm_core.errors import SettingsError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.Enum):
    LOW = 1


@attrs.frozen
class Task:
    id: str
    after: Sequence[str] = ()


@attrs.frozen
class Named:
    name: str
    size: int = 1


def _as_tuple(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen
class Plan(Configurable):
    name = "plan"
    tasks: tuple[Task, ...]
    rounds: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    colour: Colour = Colour.RED
    _words: tuple[str, ...] = attrs.field(default=(), converter=_as_tuple)


class Options(TypedDict, total=False):
    wanted: Required[int]
    spare: NotRequired[str]
    loose: float


class Strict(TypedDict):
    a: int
    b: NotRequired[int]


UserId = NewType("UserId", str)


def test_a_table_becomes_the_object_its_class_describes() -> None:
    """Nested tables, enums and private fields arrive as what the annotations say."""
    plan = Plan.from_settings({"tasks": [{"id": "html", "after": ["css"]}], "colour": "blue", "words": ["a", "b"]})

    assert Plan((Task("html", ["css"]),), colour=Colour.BLUE, words=["a", "b"]) == plan


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"task": []}, ("task: found the unknown setting 'task', expected one of tasks, rounds, colour, words "
         "for 'plan'. Did you mean 'tasks'?")),
        ({}, "plan: found no 'tasks', expected 'tasks', which 'plan' needs."),
        ({"tasks": [{"id": 3}]}, "tasks[0].id: found 3, expected text."),
        ({"tasks": [], "rounds": "two"}, "rounds: found 'two', expected a whole number."),
        ({"tasks": [], "rounds": True}, "rounds: found True, expected a whole number."),
        ({"tasks": [], "rounds": None}, "rounds: found nothing, expected a whole number."),
        ({"tasks": {}}, "tasks: found {}, expected a list."),
        ({"tasks": ["html"]}, "tasks[0]: found 'html', expected a table for Task."),
        ({"tasks": [], "colour": "bleu"}, "colour: found 'bleu', expected one of 'red', 'blue'. Did you mean 'blue'?"),
        ({"tasks": [], "rounds": 0}, "rounds: found 0, expected at least 1."),
    ],
)  # fmt: skip
def test_a_mistake_is_told_as_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    """The error says where, what was found and what was expected, with the near miss."""
    with pytest.raises(SettingsError) as caught:
        Plan.from_settings(settings)

    assert sentence == str(caught.value)


def test_a_class_with_a_field_called_name_is_called_by_its_own() -> None:
    """The slot of a field `name` is not taken for the name of the class."""
    with pytest.raises(SettingsError) as caught:
        from_settings(Named, {})

    assert "Named: found no 'name', expected 'name', which 'Named' needs." == str(caught.value)


def test_functions_and_open_ended_ones_take_settings_too() -> None:
    """A function works as a class does; **options let unknown settings through unchecked."""

    def make(size: int, **options: str) -> tuple[int, dict[str, str]]:
        return size, options

    assert (3, {"colour": "red"}) == from_settings(make, {"size": 3, "colour": "red"})


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 3.0, 3),
        (float, 3, 3.0),
        (int | float, 3, 3),
        (float | int, 3, 3),
        (int | float, 3.0, 3.0),
        (bool | int, True, True),
        (int | str | None, None, None),
        (str | Colour, "red", "red"),
        (Colour | str, "red", Colour.RED),
        (Literal[1, 2], 1.0, 1),
        (Literal[Colour.RED], "red", Colour.RED),
        (list[int], (1, 2), [1, 2]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (frozenset[int], [1], frozenset({1})),
        (Set[int], [1], frozenset({1})),
        (Sequence[Colour], ["red"], [Colour.RED]),
        (Iterable[Colour], ["red"], [Colour.RED]),
        (Mapping[str, Colour], {"a": "red"}, {"a": Colour.RED}),
        (dict, {"a": 1}, {"a": 1}),
        (tuple, [1], (1,)),
        (Path, "a/b", Path("a/b")),
        (UserId, "ada", UserId("ada")),
        (Any, object, object),
        ("Unknown", 3, 3),
    ],
    ids=str,
)
def test_values_arrive_as_their_annotation_says(annotation: Any, value: Any, expected: Any) -> None:
    """Value and type are both what was asked for."""
    structured = structure(annotation, value)

    assert (expected, type(expected)) == (structured, type(structured))


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (int, 3.5, "x: found 3.5, expected a whole number."),
        (float, True, "x: found True, expected a number."),
        (bool, 1, "x: found 1, expected true or false."),
        (None | str, 3, "x: found 3, expected nothing or text."),
        (Literal["on", "off"], "of", "x: found 'of', expected one of 'on', 'off'. Did you mean 'off'?"),
        (Literal[1], True, "x: found True, expected one of 1."),
        (Level, True, "x: found True, expected one of 1."),
        (tuple[int, int], [1], "x: found 1 values, expected 2 of them."),
        (list[int], "12", "x: found '12', expected a list."),
        (set[list[int]], [[1]], "x: found [[1]], expected values that fit in a set. unhashable type: 'list'."),
        (dict[str, int], [1], "x: found [1], expected a table."),
        (dict[str, int], {"a": "b"}, "x.a: found 'b', expected a whole number."),
        (list[int] | list[str], [1.5], "x[0]: found 1.5, expected a whole number."),
        (Options, {}, "x: found no 'wanted', expected 'wanted', which Options needs."),
        (Options, [], "x: found [], expected a table for Options."),
        (Options, {"wanted": 1, "spar": "x"}, ("x.spar: found the unknown key 'spar', expected one of wanted, spare, "
         "loose. Did you mean 'spare'?")),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_does_not_fit_is_told_as_a_sentence(annotation: Any, value: Any, sentence: str) -> None:
    """The sentence names the place, the value and what would fit."""
    with pytest.raises(SettingsError) as caught:
        structure(annotation, value, "x")

    assert sentence == str(caught.value)


def test_keys_of_a_typed_dict_are_known_though_annotations_are_text() -> None:
    """Required and NotRequired count, which Python's own record misses under the future import."""
    assert frozenset({"wanted"}) == required_keys(Options, hints_of(Options))
    assert frozenset({"a"}) == required_keys(Strict, hints_of(Strict))


def test_one_unknown_name_does_not_hide_the_other_annotations() -> None:
    """What cannot be resolved stays text; the rest is checked."""

    def make(size: int, thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert {"size": int, "thing": "Nowhere", "return": type(None)} == hints_of(make)


def test_a_long_or_deep_value_is_shown_short() -> None:
    """An error stays readable whatever the value, and a deep one does not exhaust the stack."""
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]

    assert len(show("x" * 10_000)) <= 100
    assert len(show(deep)) <= 100


def test_plain_gives_settings_back_as_data() -> None:
    """What a plan is made from comes back as the table that would make it again."""
    settings = {"tasks": [{"id": "html", "after": []}], "rounds": 2, "colour": "blue", "words": ["a"]}

    assert settings == plain(Plan.from_settings(settings))


def test_plain_names_what_it_cannot_open() -> None:
    """Paths are whole, sets in order, enums of text plain text; things with a life are named."""

    class Shade(str, enum.Enum):
        DARK = "dark"

    given = {"path": PurePosixPath("/a/b"), "set": {2, 1}, "shade": Shade.DARK, "fn": show, "thing": object()}

    assert {"path": "/a/b", "set": [1, 2], "shade": "dark", "fn": "show", "thing": "object"} == plain(given)
    assert str is type(plain(Shade.DARK))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_plain_leaves_json_alone(value: Any) -> None:
    """JSON is plain already."""
    assert value == plain(value)
