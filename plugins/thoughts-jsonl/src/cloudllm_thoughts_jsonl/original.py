"""
Chains of the original, a Rust library: read and verified by their own rule.

One JSON object a line; ``hash`` is the SHA-256, in lower-case hexadecimal digits, of
``index|timestamp|agent_id|"Type"|content|r1,r2|prev_hash``, and ``prev_hash`` of the first is empty. The
timestamp is hashed with ``+00:00`` and stands in the file with ``Z``. Nobody checked references.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import Any

import attrs

from cloudllm_core import Thought
from cloudllm_core.errors import SetupError

from .failures import TamperedThoughtsError
from .reading import BEGINNING

_SHAPE = {
    "index": int, "timestamp": str, "agent_id": str, "thought_type": str, "content": str, "refs": list,
    "prev_hash": str, "hash": str,
}  # fmt: skip
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@attrs.frozen
class Foreign:
    """A thought of the original, and what belongs to it there and not here."""

    thought: Thought
    timestamp: str
    hash: str


def is_original(data: bytes) -> bool:
    """Whether *data*, with which a file begins, looks like a chain of the original."""
    words = (b'"agent_id":', b'"thought_type":')
    lines = data.split(b"\n")[:2]
    return not data.startswith(BEGINNING) and any(all(word in line for word in words) for line in lines)


def read_original(source: str, data: bytes, *, anyway: bool = False) -> list[Foreign]:
    """
    The thoughts in *data*, verified.

    Args:
        anyway: of a chain that was tampered with, take what comes before.

    Raises:
        TamperedThoughtsError: one does not match its hash, or does not follow from the one before.
    """
    found: list[Foreign] = []
    previous = ""
    for line in filter(bytes.strip, data.split(b"\n")):
        try:
            found.append(_read(line, len(found), previous))
        except ValueError as problem:
            if anyway:
                break
            raise TamperedThoughtsError(source, len(found), str(problem)) from problem
        previous = found[-1].hash
    if not found and not anyway:
        raise SetupError(f"{source}: the file holds no thoughts.")
    return found


def _read(line: bytes, index: int, previous: str) -> Foreign:
    try:
        body = json.loads(line.decode())
    except (ValueError, RecursionError) as problem:
        raise ValueError("is not JSON") from problem
    if not isinstance(body, dict) or _SHAPE != {key: type(value) for key, value in body.items()}:
        raise ValueError("is not of the form that the original wrote")
    refs = body["refs"]
    if any(type(ref) is not int for ref in refs):
        raise ValueError("is not of the form that the original wrote")
    hashed, at = _times(body["timestamp"])
    if hashlib.sha256(_preimage(body, hashed)).hexdigest() != body["hash"]:
        raise ValueError("does not match its hash")
    if body["prev_hash"] != previous:
        raise ValueError("does not follow from the one before")
    if body["index"] != index:
        raise ValueError(f"says that it is thought {body['index']}")
    thought = Thought(
        index=index,
        at=at,
        agent=body["agent_id"],
        type=body["thought_type"],
        content=body["content"],
        refs=tuple(refs),
    )
    return Foreign(thought, body["timestamp"], body["hash"])


def _preimage(body: dict[str, Any], timestamp: str) -> bytes:
    kind = json.dumps(body["thought_type"], ensure_ascii=False)
    refs = ",".join(map(str, body["refs"]))
    parts = (body["index"], timestamp, body["agent_id"], kind, body["content"], refs, body["prev_hash"])
    return "|".join(map(str, parts)).encode("utf-8", "surrogatepass")


def _times(text: str) -> tuple[str, float]:
    """The time as it is hashed, and as seconds since 1970."""
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        moment = dt.datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).astimezone(dt.UTC)
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"is from {text[:40]!r}, which is no time") from problem
    fraction = (match[2] or "").ljust(9, "0")
    # The original writes as many digits as it takes: none, three, six or nine.
    digits = next(count for count in (0, 3, 6, 9) if not fraction[count:].strip("0"))
    written = moment.replace(tzinfo=None).isoformat() + (f".{fraction[:digits]}" if digits else "")
    return f"{written}+00:00", moment.timestamp() + int(fraction) / 1e9
