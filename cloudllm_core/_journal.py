"""
The chain: records numbered, encoded once and bound to one another by hash.

A record is one line of JSON: ``[number, at, lane, position, kind, body, previous, hash]``; the hash
is SHA-256 over the line up to the comma before it. A journal plugin keeps the lines; without one
the chain lives in memory, so that the same code always runs.
"""

from __future__ import annotations

import hashlib
import json
import json.encoder
import re
from collections.abc import Callable
from typing import Any

import attrs

from ._messages import Json
from ._outlets import Journal
from ._records import Kind, Record
from .errors import JournalError, TamperedError

GENESIS = "0" * 64
"""What the first record names as the hash before it."""


def _written(value: Any) -> Json:
    to_json = getattr(value, "to_json", None)
    if to_json is None:
        raise TypeError(f"a {type(value).__name__} is not JSON")
    return to_json()


def _make_encoder() -> Callable[[Json], str]:
    """`json`'s own encoder, made once: making it anew for each record costs as much as the encoding."""
    encoder = json.JSONEncoder(
        ensure_ascii=False,
        check_circular=False,
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
        default=_written,
    )
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    quote: Any = getattr(json.encoder, "encode_basestring", None)
    if make is None or quote is None:  # not CPython
        return encoder.encode
    pieces = make(None, encoder.default, quote, None, ":", ",", True, False, False)
    return lambda value: "".join(pieces(value, 0))


_encode = _make_encoder()
_sha256 = hashlib.sha256


def encode(value: Json) -> str:
    """
    The one JSON form of *value*: sorted keys, no spaces, no NaN; values with ``to_json`` write themselves.

    Lone surrogates, which no UTF-8 file can hold, become U+FFFD.

    Raises:
        TypeError, ValueError: it is not JSON.
    """
    text = _encode(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return text


def digest(value: Json) -> str:
    """32 hexadecimal digits that stand for *value*."""
    return digest_text(encode(value))


def digest_text(text: str) -> str:
    """32 hexadecimal digits that stand for *text*."""
    return _sha256(text.encode()).hexdigest()[:32]


@attrs.define(eq=False)
class Chain:
    """The growing journal of one run: the only place where records are made."""

    run_id: str
    keeper: Journal | None = None
    """The plugin that keeps the lines, if any."""

    records: list[Record] = attrs.Factory(list)
    previous: str = GENESIS

    def append(
        self,
        at: float,
        lane: str,
        position: int,
        kind: Kind,
        text: str,
        opened: Record | None = None,
        durable: bool = False,
    ) -> Record:
        """
        Add a record whose body is *text*; if *durable*, a power loss after this call does not take it.

        Raises:
            JournalError: the keeper could not keep it.
        """
        number = len(self.records) + 1
        head = f'[{number},{at!r},"{lane}",{position},"{kind}",{text},"{self.previous}"'
        hash = _sha256(head.encode()).hexdigest()
        record = Record(number, at, lane, position, kind, text, self.previous, hash, self.run_id, opened)
        if self.keeper is not None:
            self._keep(f'{head},"{hash}"]\n', durable)
        self.previous = hash
        self.records.append(record)
        return record

    def _keep(self, line: str, durable: bool) -> None:
        assert self.keeper is not None
        try:
            self.keeper.append(line.encode(), durable)
        except JournalError:
            raise
        except Exception as problem:
            raise JournalError(f"The journal could not keep a record: {type(problem).__name__}: {problem}") from problem

    def close(self) -> None:
        if self.keeper is not None:
            self.keeper.close()


def load_records(lines: tuple[bytes, ...], source: str) -> list[Record]:
    """
    The records in *lines*, each checked against its hash and the one before.

    Raises:
        JournalError: a line is not a record. TamperedError: the chain does not hold.
    """
    records: list[Record] = []
    opened: dict[tuple[str, int], Record] = {}
    previous, run_id = GENESIS, ""
    for index, line in enumerate(lines, 1):
        record = _parse(line, index, source)
        head, _, _ = line.rpartition(b',"')
        if record.number != index:
            raise TamperedError(source, index, f"says it is number {record.number}")
        if record.previous != previous:
            raise TamperedError(source, index, "does not follow from the one before")
        if _sha256(head).hexdigest() != record.hash:
            raise TamperedError(source, index, "does not match its hash")
        if index == 1:
            run_id = record.body.get("run_id", "")
        record.run_id, previous = run_id, record.hash
        if record.kind == "started":
            opened[record.lane, record.position] = record
        elif record.kind == "finished":
            record.opened = opened.get((record.lane, record.position))
        records.append(record)
    return records


def _parse(line: bytes, index: int, source: str) -> Record:
    try:
        number, at, lane, position, kind, body, previous, hash = row = json.loads(line.decode())
        if [type(at) in (int, float), *map(type, row)] != [True, int, type(at), str, int, str, dict, str, str]:
            raise ValueError("its fields are of other types")
        return Record(number, at, lane, position, kind, encode(body), previous, hash)
    except (ValueError, TypeError, RecursionError) as problem:
        raise JournalError(f"{source}: line {index} is not a record of a journal.") from problem


def redacted(text: str, hide: Callable[[str], str]) -> str:
    """*text*, which is JSON, without secrets in its strings; it stays JSON, and what it was."""
    return text if hide(text) == text else encode(_each(json.loads(text), hide))


WORD = re.compile("[A-Za-z_]{1,40}").fullmatch
FORM = {"role", "type", "stop", "event", "what", "class", "effect", "name", "tool", "tool_name", "agent", "model"}
"""Keys whose values, where they are single words, say what something is: a secret may be called ``assistant``, too."""


def _each(value: Json, hide: Callable[[str], str], form: bool = False) -> Json:
    """*value* with *hide* done to every string in it that says something."""
    if isinstance(value, str):
        return value if form and WORD(value) else hide(value)
    if isinstance(value, dict):
        return {key if WORD(key) else hide(key): _each(item, hide, key in FORM) for key, item in value.items()}
    return [_each(item, hide) for item in value] if isinstance(value, list) else value
