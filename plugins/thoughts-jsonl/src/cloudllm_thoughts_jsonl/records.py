"""
What a line of a chain is, and what makes it the next one.

The first line is the header::

    {"chain":"<uuid>","created":<ms>,"hash":"<64 hex>","key":"<id of a public key, or empty>","v":1}

Every other one is a thought::

    {"agent":"ada","body":{"content":"..","meta":{},"refs":[0]},"chain":"<uuid>","hash":"<64 hex>",
     "prev":"<64 hex>","seq":<n>,"ts":<ms>,"type":"Finding","v":1}

``hash`` is the SHA-256 of a word that says what is hashed and of the line's canonical form without ``hash``.
``prev`` is the hash of the line before; of the first thought, the header's.
"""

from __future__ import annotations

import hashlib
from typing import Any

import attrs

from cloudllm_core import Thought

from .canonical import WrongError, canonical, parse

THOUGHT = b"cloudllm-thought-v1\0"
HEADER = b"cloudllm-thoughts-header-v1\0"
"""They tell apart what is hashed, so that no line can pass for another kind of line."""

_SHAPE = {"agent": str, "body": dict, "chain": str, "prev": str, "seq": int, "ts": int, "type": str, "v": int}
_HEADER_SHAPE = {"chain": str, "created": int, "key": str, "v": int}


@attrs.frozen
class Header:
    """The first line of a chain."""

    chain: str
    created: int
    """Milliseconds since 1970."""

    key: str
    """Name and number of the public key of its heads, or empty."""

    hash: str


def seal(domain: bytes, record: dict[str, Any]) -> bytes:
    """The line of *record*, with its hash and a line break."""
    record["hash"] = hashlib.sha256(domain + canonical(record).encode()).hexdigest()
    return f"{canonical(record)}\n".encode()


def header_line(chain: str, created: int, key: str) -> bytes:
    return seal(HEADER, {"chain": chain, "created": created, "key": key, "v": 1})


def thought_line(header: Header, previous: str, thought: Thought) -> bytes:
    """The line of *thought*, whose values must be `cleaned`."""
    return seal(
        THOUGHT,
        {
            "agent": thought.agent,
            "body": {"content": thought.content, "meta": thought.meta, "refs": list(thought.refs)},
            "chain": header.chain,
            "prev": previous,
            "seq": thought.index,
            "ts": round(thought.at * 1000),
            "type": thought.type,
            "v": 1,
        },
    )


def read_header(line: bytes) -> Header:
    """Raises: WrongError, NotJsonError: *line* is no header that was written so."""
    record, said = _unsealed(HEADER, line)
    if _HEADER_SHAPE != {key: type(value) for key, value in record.items()} or record["v"] != 1:
        raise WrongError("is not of the form that this version knows")
    return Header(record["chain"], record["created"], record["key"], said)


def read_thought(line: bytes, header: Header, previous: str, index: int) -> tuple[Thought, str]:
    """
    The thought on *line*, which should be the one with *index*, and its hash.

    Raises:
        WrongError, NotJsonError: it is not, or not as it was written.
    """
    record, said = _unsealed(THOUGHT, line)
    if _SHAPE != {key: type(value) for key, value in record.items()} or record["v"] != 1:
        raise WrongError("is not of the form that this version knows")
    if header.chain != record["chain"]:
        raise WrongError(f"belongs to another chain, {record['chain']}")
    if index != record["seq"]:
        raise WrongError(f"says that it is thought {record['seq']}: one is missing, doubled or moved")
    if previous != record["prev"]:
        raise WrongError("does not follow from the one before")
    body = record["body"]
    content, meta, refs = body.get("content"), body.get("meta"), body.get("refs")
    if len(body) != 3 or type(content) is not str or type(meta) is not dict or type(refs) is not list:
        raise WrongError("is not of the form that this version knows")
    if refs and (any(type(ref) is not int or not 0 <= ref < index for ref in refs) or refs != sorted(set(refs))):
        raise WrongError("refers to what is no earlier thought")
    thought = Thought(
        index=index,
        at=record["ts"] / 1000,
        agent=record["agent"],
        type=record["type"],
        content=content,
        refs=tuple(refs),
        meta=meta,
    )
    return thought, said


def _unsealed(domain: bytes, line: bytes) -> tuple[dict[str, Any], str]:
    record, said, form = parse(line)
    if hashlib.sha256(domain + form).hexdigest() != said:
        raise WrongError("does not match its hash")
    return record, said
