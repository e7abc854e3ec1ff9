"""
The text commands: what ``memory(command, key, value, ttl)`` asks for.

The grammar, its aliases and its ``ERR:`` texts are the original's (CloudLLM for Rust, `MemoryProtocol`), where key
and value were single words and what came after them was dropped. Here nothing is ever cut:

* *key* and *value* given as arguments are taken as they are.
* In the command, the value is all that follows the key. A lifetime may stand behind it where it cannot be mistaken:
  behind one single word (as in the original), a quoted text, or a JSON object or list.
"""

from __future__ import annotations

import json
import re

import attrs

from ._faults import MemoryFault

ALIASES = {"GET": "G", "PUT": "P", "LIST": "L", "DELETE": "D", "CLEAR": "C"}

_JSON = json.JSONDecoder(strict=False)  # a quoted text may hold line breaks as they are


@attrs.frozen
class Order:
    """One command, read."""

    verb: str
    key: str = ""
    """The key; of LIST, the pattern; of TOTAL, the scope."""

    value: str = ""
    ttl: float | None = None
    meta: bool = False


def read(command: str, key: str = "", value: str | None = None, ttl: float | None = None) -> Order:
    """
    What *command* asks for.

    Args:
        command: a verb and what belongs to it.
        key: instead of a key in *command*, whose rest then only says META, or a lifetime.
        value: instead of a value in *command*.
        ttl: seconds to live, instead of those in *command*.

    Raises:
        MemoryFault: it makes no sense.
    """
    verb, rest = _word(command)
    match ALIASES.get(verb, verb):
        case "":
            raise MemoryFault("Invalid Command")
        case "P":
            return _put(rest, key, value, ttl)
        case "G":
            return _get("G", "GET", rest, key)
        case "L":
            if not key and rest in ("", "META"):
                return Order("L", meta=rest == "META")
            return _get("L", "LIST", rest, key)
        case "D":
            found, rest = (key, "") if key else _quoted_or_word(rest)
            return Order("D", _whole(found, rest, "DELETE"))
        case "C":
            if key or rest:
                raise MemoryFault("Invalid CLEAR Syntax", "CLEAR takes no key. One key is deleted with: D key")
            return Order("C")
        case "T":
            return _total(key or rest)
        case "SPEC":
            return Order("SPEC")
    raise MemoryFault("Unknown Command")


def _put(rest: str, key: str, value: str | None, ttl: float | None) -> Order:
    if not key:
        key, rest = _quoted_or_word(rest)
        if rest and not value:  # an empty argument beside a value in the command was only filled in
            value, rest = _value_and_rest(rest)
        elif rest and _seconds(rest) is None:
            raise MemoryFault("Invalid PUT Syntax", "There are two values. Give one, in the command or as 'value'.")
    if not key or value is None:
        raise MemoryFault("Invalid PUT Syntax")
    return Order("P", key, value, _seconds(rest) if ttl is None else ttl)


def _get(verb: str, word: str, rest: str, key: str) -> Order:
    if key:
        return Order(verb, key, meta=rest.split()[-1:] == ["META"])
    key, rest = _quoted_or_word(rest)
    meta = rest == "META"
    return Order(verb, _whole(key, "" if meta else rest, word), meta=meta)


def _total(scope: str) -> Order:
    if not scope:
        raise MemoryFault("Invalid TOTAL Syntax")
    if scope not in ("A", "K", "V"):
        raise MemoryFault("Invalid TOTAL Scope")
    return Order("T", scope)


# -- words --------------------------------------------------------------------


def _word(text: str) -> tuple[str, str]:
    """The first word of *text*, and what follows it."""
    first, *rest = text.split(None, 1) or [""]
    return first, "".join(rest).strip()


def _quoted_or_word(text: str) -> tuple[str, str]:
    """The text in quotes that *text* begins with, or else its first word; and what follows."""
    known, end = _json(text) if text.startswith('"') else (None, 0)
    return (known, text[end:].strip()) if isinstance(known, str) else _word(text)


def _value_and_rest(text: str) -> tuple[str, str]:
    """The value that *text* begins with; and its lifetime if one follows, else nothing."""
    if text[0] not in '"{[':
        word, rest = _word(text)
        return (text, "") if _seconds(rest) is None else (word, rest)
    known, end = _json(text)
    rest = text[end:].strip()
    if end == 0 or (rest and _seconds(rest) is None):
        return text, ""
    return (known if isinstance(known, str) else text[:end]), rest


def _json(text: str) -> tuple[object, int]:
    """The JSON that *text* begins with, as a word of its own, and where it ends; 0 if there is none."""
    try:
        known, end = _JSON.raw_decode(text)
    except (ValueError, RecursionError):
        return None, 0
    return (known, end) if not text[end:] or text[end].isspace() else (None, 0)


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch("[0-9]+", text) else None


def _whole(key: str, rest: str, word: str) -> str:
    """*key*, if it is one and nothing is left over."""
    if rest:
        raise MemoryFault(f"Invalid {word} Syntax", "A key with spaces stands in quotes, or in the argument 'key'.")
    if not key:
        raise MemoryFault(f"Invalid {word} Syntax")
    return key
