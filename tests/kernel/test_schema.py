"""Schemas say what annotations allow, and `check` says what is wrong with a value."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, Required, TypedDict

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_core._contracts import Hub, ToolContext
from cloudllm_core._schema import check, describe, parameters_of, schema_of
from cloudllm_core._settings import plain, structure
from cloudllm_core.errors import SettingsError, ToolSchemaError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@attrs.frozen
class Point:
    x: float
    y: float = 0.0
    label: str | None = None


@attrs.frozen
class Shape:
    points: tuple[Point, ...]
    colour: Colour = Colour.RED
    tags: frozenset[str] = attrs.Factory(frozenset)


class Options(TypedDict, total=False):
    wanted: Required[Annotated[int, "how many"]]
    deep: dict[str, float]


class Strict(TypedDict):
    a: int
    b: NotRequired[Colour]


@attrs.frozen
class Node:
    children: list[Node]


UserId = NewType("UserId", str)

# -- writing ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (Path, {"type": "string"}),
        (UserId, {"type": "string"}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (Level, {"type": "integer", "enum": [1, 2]}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (Iterable[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (Set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (dict, {"type": "object"}),
        (dict[str, Any], {"type": "object"}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Annotated[int, 3, "how many", "more"], {"type": "integer", "description": "how many"}),
        (
            Options,
            {
                "type": "object",
                "properties": {
                    "wanted": {"type": "integer", "description": "how many"},
                    "deep": {"type": "object", "additionalProperties": {"type": "number"}},
                },
                "required": ["wanted"],
                "additionalProperties": False,
            },
        ),
        (
            Point,
            {
                "type": "object",
                "properties": {
                    "x": {"type": "number"},
                    "y": {"type": "number", "default": 0.0},
                    "label": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                },
                "required": ["x"],
                "additionalProperties": False,
            },
        ),
    ],
    ids=str,
)
def test_an_annotation_has_its_schema(annotation: Any, schema: dict[str, Any]) -> None:
    """Each annotation that JSON can carry is written as JSON Schema says it."""
    assert schema == schema_of(annotation)


def test_nested_classes_are_written_in_place() -> None:
    """Enums, sets and classes inside a class keep their own schemas; a default that is made anew is left out."""
    properties = schema_of(Shape)["properties"]

    assert schema_of(Point) == properties["points"]["items"]
    assert {"type": "string", "enum": ["red", "blue"], "default": "red"} == properties["colour"]
    assert {"type": "array", "items": {"type": "string"}, "uniqueItems": True} == properties["tags"]


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (bytes, "JSON has no form for its annotation bytes"),
        (complex, "JSON has no form for its annotation complex"),
        (list[bytes], "JSON has no form for its annotation bytes"),
        (dict[int, str], "JSON has no form for its annotation dict[int, str]"),
        (Literal[b"x"], "JSON has no form for its annotation Literal[b'x']"),
        (Callable[[int], str], "JSON has no form for its annotation collections.abc.Callable[[int], str]"),
        (Iterator[int], "JSON has no form for its annotation collections.abc.Iterator[int]"),
        (Node, "Node holds itself, and its schema would have no end"),
    ],
    ids=str,
)
def test_what_json_cannot_carry_is_refused_by_name(annotation: Any, problem: str) -> None:
    """The sentence names the part of the annotation that has no form."""
    with pytest.raises(TypeError) as caught:
        schema_of(annotation)

    assert problem == str(caught.value)


def test_parameters_take_defaults_and_descriptions() -> None:
    """A whole function: what is required, what is said of each, what is the default, what the kernel gives."""

    def search(
        query: str,
        limit: int = 5,
        colour: Colour = Colour.BLUE,
        where: Annotated[str, "the annotation wins"] = "web",
        odd: int = None,  # type: ignore[assignment]
        context: ToolContext | None = None,
        *,
        hub: Hub,
    ) -> None:
        """
        Search the web.

        Args:
            query: what to look for,
                in plain words
            limit (int): at most this many
            where: the docstring loses

        Returns:
            what was found
        """

    schema, hidden = parameters_of(search)

    assert {"context": ToolContext, "hub": Hub} == hidden
    assert {
        "type": "object",
        "properties": {
            "query": {"description": "what to look for, in plain words", "type": "string"},
            "limit": {"description": "at most this many", "type": "integer", "default": 5},
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "blue"},
            "where": {"description": "the annotation wins", "type": "string", "default": "web"},
            "odd": {"type": "integer"},
        },
        "required": ["query"],
        "additionalProperties": False,
    } == schema
    assert "Search the web.\n\nReturns:\n    what was found" == describe(search)[0]


def _google(query: str, limit: int) -> None:
    """Look.

    Args:
        query: what
            limit: still about the query

        limit: how many
        gone: an argument of yesterday

    Raises:
        OSError: sometimes
    """


def _plain(query: str, limit: int) -> None:
    """Look.

    query: what
    limit: how many

    Note: this is prose.
    """


def _rest(query: str, limit: int) -> None:
    """Look.

    :param query: what
        and where
    :type query: str
    :param int limit: how many
    :returns: nothing
    """


def _none(query: str, limit: int) -> None: ...


@pytest.mark.parametrize(
    ("fn", "prose", "told"),
    [
        (
            _google,
            "Look.\n\nRaises:\n    OSError: sometimes",
            {"query": "what limit: still about the query", "limit": "how many"},
        ),
        (_plain, "Look.\n\nNote: this is prose.", {"query": "what", "limit": "how many"}),
        (_rest, "Look.\n\n:returns: nothing", {"query": "what and where", "limit": "how many"}),
        (_none, "", {}),
    ],
)
def test_docstrings_are_read_in_three_dialects(fn: Any, prose: str, told: dict[str, str]) -> None:
    """Arguments are taken out of the prose and told one by one."""
    assert (prose, told) == describe(fn)


def _bare(query) -> None: ...  # type: ignore[no-untyped-def]
def _star(*args: str) -> None: ...
def _open(**options: str) -> None: ...
def _positional(query: str, /) -> None: ...
def _raw(data: list[bytes]) -> None: ...
def _nowhere(thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _nested(thing: list[Nowhere]) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _looped(node: Node) -> None: ...


_FORMS = "Use str, int, float, bool, list, dict, Literal, enums, TypedDict or attrs classes."
_KNOWN = "Define or import it above the function, at the top of the module, not under TYPE_CHECKING."


@pytest.mark.parametrize(
    ("fn", "sentence"),
    [
        (_bare, "its parameter 'query' has no annotation. Write query: str, or what it takes."),
        (_star, "a model cannot name what goes into *args. Name each parameter."),
        (_open, "a model cannot name what goes into **options. Name each parameter."),
        (_positional, "its parameter 'query' is positional-only. Remove the / from its signature."),
        (_raw, f"JSON has no form for its annotation bytes. {_FORMS}"),
        (_nowhere, f"its annotation 'Nowhere' is not known where it stands. {_KNOWN}"),
        (_nested, f"its annotation 'list[Nowhere]' is not known where it stands. {_KNOWN}"),
        (_looped, f"Node holds itself, and its schema would have no end. {_FORMS}"),
    ],
)
def test_a_parameter_no_model_could_give_is_refused(fn: Any, sentence: str) -> None:
    """The error names function, parameter or annotation, and what to write instead."""
    with pytest.raises(ToolSchemaError) as caught:
        parameters_of(fn)

    assert f"{fn.__name__!r} cannot become a tool: {sentence}" == str(caught.value)


# -- checking -----------------------------------------------------------------

ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 2, "maxLength": 5},
        "limit": {"type": "integer", "minimum": 1, "maximum": 9},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "sort": {"enum": ["up", "down", None]},
        "kind": {"const": "web"},
        "words": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        "old_pair": {"type": "array", "items": [{"type": "string"}]},
        "mixed": {"type": ["string", "null"]},
        "maybe": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        "either": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "both": {"allOf": [{"type": "integer"}, {"minimum": 5}]},
        "code": {"type": "string", "pattern": "^[a-z]+$"},
        "place": {"$ref": "#/$defs/place"},
        "table": {"type": "object", "additionalProperties": {"type": "integer"}},
        "flag": {"type": "boolean"},
        "loose": {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False},
    },
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                        "additionalProperties": False}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        ({"limit": "five"}, ["limit: expected a whole number, found 'five'"]),
        ({"limit": True}, ["limit: expected a whole number, found True"]),
        ({"limit": 3.5}, ["limit: expected a whole number, found 3.5"]),
        ({"limit": None}, ["limit: expected a whole number, found nothing"]),
        ({"limit": 0}, ["limit: expected at least 1, found 0"]),
        ({"limit": 10}, ["limit: expected at most 9, found 10"]),
        ({"ratio": 0}, ["ratio: expected more than 0, found 0"]),
        ({"ratio": 1}, ["ratio: expected less than 1, found 1"]),
        ({"ratio": float("nan")}, ["ratio: expected a number, found nan"]),
        ({"ratio": True}, ["ratio: expected a number, found True"]),
        ({"query": "x"}, ["query: expected at least 2 characters, found 1"]),
        ({"query": "xxxxxx"}, ["query: expected at most 5 characters, found 6"]),
        ({"sort": "donw"}, ["sort: expected one of 'up', 'down', nothing, found 'donw' (did you mean 'down'?)"]),
        ({"sort": 3}, ["sort: expected one of 'up', 'down', nothing, found 3"]),
        ({"kind": "wed"}, ["kind: expected 'web', found 'wed' (did you mean 'web'?)"]),
        ({"words": []}, ["words: expected at least 1 items, found 0"]),
        ({"words": ["a", "b", "c"]}, ["words: expected at most 2 items, found 3"]),
        ({"words": ["a", 2]}, ["words[1]: expected text, found 2"]),
        ({"words": "ab"}, ["words: expected a list, found 'ab'"]),
        ({"pair": ["a", 1]}, ["pair[1]: expected nothing, found 1"]),
        ({"old_pair": [1]}, ["old_pair[0]: expected text, found 1"]),
        ({"mixed": 1}, ["mixed: expected text or nothing, found 1"]),
        ({"maybe": "x"}, ["maybe: expected a whole number or nothing, found 'x'"]),
        ({"maybe": 0}, ["maybe: expected at least 1 or nothing, found 0"]),
        ({"either": 1}, ["either: 1 fits 2 of the forms allowed here, and may fit one"]),
        ({"either": "x"}, ["either: expected a whole number or a number, found 'x'"]),
        ({"both": 3}, ["both: expected at least 5, found 3"]),
        ({"code": "A1"}, ["code: expected text that matches ^[a-z]+$, found 'A1'"]),
        ({"place": {}}, ["place: no 'city', which is needed"]),
        ({"place": {"city": 1, "cty": 2}},
         ["place.city: expected text, found 1", "place: unknown key 'cty' (did you mean 'city'?)"]),
        ({"place": "Rome"}, ["place: expected an object, found 'Rome'"]),
        ({"table": {"a": 1, "b": "x"}}, ["table.b: expected a whole number, found 'x'"]),
        ({"flag": 1}, ["flag: expected true or false, found 1"]),
        ({"qurey": "x"}, ["unknown argument 'qurey' (did you mean 'query'?)"]),
        ([1], ["expected an object, found [1]"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_said_in_sentences(arguments: Any, sentences: list[str]) -> None:
    """A model reads where, what was expected and what was found."""
    assert sentences == check(ARGUMENTS, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"limit": 3.0},
        {"ratio": 0.5},
        {"sort": None},
        {"pair": ["a"]},
        {"old_pair": ["a", 1]},
        {"mixed": None},
        {"maybe": None},
        {"maybe": 1},
        {"either": 1.5},
        {"both": 5},
        {"place": {"city": "Rome"}},
        {"loose": {"x1": 1, "y": 2}},
    ],
    ids=str,
)
def test_what_fits_is_let_through(arguments: Any) -> None:
    """Nothing is said of a value that fits; 3.0 is a whole number."""
    assert [] == check(ARGUMENTS, arguments)


def test_missing_and_unknown_arguments_are_all_told() -> None:
    """One answer names each mistake, so that a model can mend them all at once."""
    schema, _ = parameters_of(_plain)

    assert [
        "no 'query', which is needed",
        "no 'limit', which is needed",
        "unknown argument 'colour' (known: query, limit)",
    ] == check(schema, {"colour": 1})


def test_the_branch_that_was_meant_is_the_one_reported() -> None:
    """Among objects, the fault of the nearest branch is told, not a list of everything."""
    schema = {"anyOf": [schema_of(Point), schema_of(Strict), {"type": "null"}]}

    assert ["b: expected one of 'red', 'blue', found 'rde' (did you mean 'red'?)"] == check(
        schema, {"a": 1, "b": "rde"}
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}], "oneOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema"},
        {"$ref": 3},
        {"type": "file"},
        {"type": ["string", "file"]},
        {"type": [["string"]]},
        {"type": []},
        {"enum": 3, "required": "all", "properties": [], "items": 3, "anyOf": {}, "minimum": "low", "pattern": 4},
        {"pattern": "("},
        {"pattern": "\\p{L}"},
        {"anyOf": []},
        {"properties": {"a": 3}, "required": [["a"]]},
        True,
        None,
        3,
        "string",
        [],
    ],
    ids=str,
)
def test_an_odd_schema_lets_through_what_it_does_not_forbid(schema: Any) -> None:
    """A schema from the wild that makes no sense never makes a tool unusable, nor the check endless."""
    assert [] == check(schema, {"a": 1})
    assert [] == check(schema, "text")


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*$", "(?:a*)*$", "a*a*a*a*a*$", "a?" * 40 + "a" * 40, "((a+)b?)+$"]
)
def test_a_pattern_that_might_match_for_ever_is_not_tried(pattern: str) -> None:
    """Expressions that backtrack without end would hold the whole program; they are let be."""
    assert [] == check({"pattern": pattern}, "a" * 150 + "!")


def test_a_recursive_schema_is_followed_through_the_value() -> None:
    """References to $defs work at every level."""
    tree = {"$ref": "#/$defs/tree", "$defs": {"tree": {
        "type": "object", "properties": {"sub": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        "additionalProperties": False}}}  # fmt: skip

    assert ["sub[0].sub[0]: expected an object, found 5"] == check(tree, {"sub": [{"sub": [5]}]})


def test_references_and_patterns_of_keys_are_understood() -> None:
    """A reference may hold escaped slashes; keys that a pattern may allow are not judged."""
    escaped = {"$ref": "#/$defs/a~1b~0c", "$defs": {"a/b~c": {"type": "string"}}}
    patterned = {"patternProperties": {"^x": {}}, "additionalProperties": {"type": "integer"}}

    assert ["expected text, found 3"] == check(escaped, 3)
    assert [] == check(patterned, {"x1": "text"})


def test_a_value_deeper_than_the_stack_is_answered() -> None:
    """Depth is bounded: the check ends, whatever it is given."""
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    endless = {"items": {"$ref": "#"}, "type": "array"}

    assert [] == check(endless, deep)
    assert ["nested too deeply to be checked"] == check({"const": deep}, deep)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
_WORDS = ("type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "anyOf",
          "oneOf", "allOf", "minimum", "maximum", "minLength", "maxItems", "pattern", "$ref", "$defs")  # fmt: skip
ODD = st.recursive(
    JSON | st.sampled_from(["string", "integer", "object", "#", "#/$defs/type", "(a"]),
    lambda inner: st.dictionaries(st.sampled_from(_WORDS), inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=15,
)


@given(ODD, JSON)
def test_check_never_raises(schema: Any, value: Any) -> None:
    """Whatever stands in a schema and a value, the answer is a list of sentences."""
    assert all(isinstance(sentence, str) for sentence in check(schema, value))


# -- the three agree ----------------------------------------------------------

_number = st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(max_size=5)
SCALARS: tuple[tuple[Any, st.SearchStrategy[Any]], ...] = (
    (str, _text),
    (int, st.integers(-(10**9), 10**9)),
    (float, _number),
    (bool, st.booleans()),
    (None, st.none()),
    (Literal["up", 3, None], st.sampled_from(["up", 3, None])),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Annotated[UserId, "who"], _text),
)
POINTS = st.builds(Point, _number, _number, st.none() | _text)
RECORDS: tuple[tuple[Any, st.SearchStrategy[Any]], ...] = (
    (Point, POINTS),
    (Shape, st.builds(Shape, st.lists(POINTS, max_size=2).map(tuple), st.sampled_from(Colour), st.frozensets(_text))),
    (Strict, st.fixed_dictionaries({"a": st.integers(0, 9)}, optional={"b": st.sampled_from(Colour)})),
    (Options, st.fixed_dictionaries({"wanted": st.integers(0, 9)}, optional={"deep": st.dictionaries(_text, _number)})),
)
Typed = tuple[Any, st.SearchStrategy[Any]]


def _lists(typed: Typed) -> Typed:
    return list[typed[0]], st.lists(typed[1], max_size=3)


def _rows(typed: Typed) -> Typed:
    return tuple[typed[0], ...], st.lists(typed[1], max_size=3).map(tuple)


def _pairs(typed: Typed) -> Typed:
    return tuple[typed[0], str], st.tuples(typed[1], _text)


def _tables(typed: Typed) -> Typed:
    return Mapping[str, typed[0]], st.dictionaries(_text, typed[1], max_size=3)


def _optional(typed: Typed) -> Typed:
    return Optional[typed[0]], st.none() | typed[1]


WRAPPERS = st.sampled_from([_lists, _rows, _pairs, _tables, _optional])
TYPED: st.SearchStrategy[Typed] = st.recursive(
    st.sampled_from((*SCALARS, *RECORDS))
    | st.sampled_from(SCALARS).map(lambda typed: (set[typed[0]], st.sets(typed[1], max_size=3))),
    lambda inner: st.tuples(WRAPPERS, inner).map(lambda pair: pair[0](pair[1])),
    max_leaves=3,
)


@given(TYPED, st.data())
@settings(max_examples=300)
def test_a_value_passes_its_own_schema_and_comes_back(typed: Typed, data: st.DataObject) -> None:
    """What an annotation allows, as JSON, passes the annotation's schema and becomes itself again."""
    annotation, values = typed
    value = data.draw(values)

    assert [] == check(schema_of(annotation), plain(value))
    assert value == structure(annotation, plain(value))


@given(TYPED, JSON)
@settings(max_examples=300)
def test_what_the_schema_lets_through_is_what_can_be_structured(typed: Typed, value: Any) -> None:
    """Schema and structure never disagree: neither lets through what the other refuses."""
    try:
        structure(typed[0], value, "x")
        structured = True
    except SettingsError:
        structured = False

    assert structured is (check(schema_of(typed[0]), value) == [])
