"""
The one JSON form that a thought is hashed in: RFC 8785 (JCS), restricted to what every language writes alike.

Text, whole numbers within 53 bits, true, false, null, lists and objects; no fractions. Keys are in the
order of their UTF-16 units, as RFC 8785 says. Lone surrogates become U+FFFD before anything is hashed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from cloudllm_core.errors import SetupError

LARGEST = 2**53 - 1
DEEPEST = 60
"""How many lists and objects may lie in one another."""

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode
_encode_as_is = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


class WrongError(ValueError):
    """A line holds what is never written; says what is wrong as the rest of a sentence."""


class NotJsonError(WrongError):
    """A line is not JSON: it may be a piece of one."""


def canonical(value: Any) -> str:
    """The form of *value*, which `cleaned` or `parse` gave."""
    text = _encode(value)
    if not text.isascii() and max(text) > "\uffff":  # only then UTF-16 orders keys in another way than Python
        return _encode_as_is(_reordered(value))
    return text


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


def scrubbed(text: str) -> str:
    """*text* without lone surrogates, which no UTF-8 file can hold."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def cleaned(value: Any, where: str, depth: int = 0) -> Any:
    """
    *value* as it can be kept.

    Args:
        where: what it is called in errors.

    Raises:
        SetupError: it is not JSON, or of the kind that languages write differently.
    """
    if depth > DEEPEST:
        raise SetupError(f"{where} lies more than {DEEPEST} deep. Keep it flatter, or as text: json.dumps(...)")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return scrubbed(str(value))
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise SetupError(
                f"{where} is {value}, and a chain keeps whole numbers up to 2**53 - 1, because others are not read "
                "alike everywhere. Keep it as text: str(...)"
            )
        return int(value)
    if isinstance(value, float):
        raise SetupError(
            f"{where} is {value!r}, and a chain keeps no fractions, because they are not written alike everywhere. "
            "Keep it as text, str(...), or as a whole number of a smaller unit."
        )
    if isinstance(value, Mapping):
        if wrong := next((key for key in value if not isinstance(key, str)), None):
            raise SetupError(f"{where} has the key {wrong!r}, and keys are text. Write it as {str(wrong)!r}.")
        return {scrubbed(str(key)): cleaned(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(item, f"{where}[{nth}]", depth + 1) for nth, item in enumerate(value)]
    raise SetupError(f"{where} is of the type {type(value).__name__}, which is not JSON. Keep it as text: str(...)")


def parse(line: bytes) -> tuple[dict[str, Any], str, bytes]:
    """
    An object as it stands on *line*, without its ``hash``; that hash; and the form that it should be the hash of.

    Raises:
        NotJsonError: it is no JSON. WrongError: it holds what is never written.
    """
    try:
        record = _decode(_DECODER, line)
        if not isinstance(record, dict) or not isinstance(said := record.pop("hash", None), str):
            raise WrongError("is not of the form that thoughts have")
        form = canonical(record).encode()
        if line.replace(b'"hash":"%b",' % said.encode(), b"", 1) != form:
            # Not written by us, but perhaps the same all the same; in our form no key can stand twice.
            _decode(_STRICT, line)
    except RecursionError as problem:
        raise WrongError("is nested too deeply") from problem
    except UnicodeEncodeError as problem:
        raise WrongError("holds half a character") from problem
    return record, said, form


def _decode(decoder: json.JSONDecoder, line: bytes) -> Any:
    try:
        return decoder.decode(line.decode())
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise NotJsonError("is not JSON") from problem


def _whole(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > LARGEST:
        raise WrongError("holds a number that is too large")
    return number


def _fraction(text: str) -> float:
    raise WrongError(f"holds {text}, and no thought holds fractions")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise WrongError("holds a key twice")
    return found


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_fraction, parse_constant=_fraction)
_STRICT = json.JSONDecoder(object_pairs_hook=_once)
