"""Bodies: what a model sends, and what it reads of an answer. Nothing is inflated beyond its limit."""

from __future__ import annotations

import asyncio
import codecs
import json
import re
import zlib
from collections.abc import AsyncIterable
from typing import Any

import attrs

from .errors import HttpError

_TEXTS = re.compile(r"text/|.*[/+](json|xml|yaml|javascript)$|application/(x-www-form-urlencoded|graphql|x-ndjson)")
_NEVER_TEXT = re.compile(r"(image|audio|video|font)/")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w:.-]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w:.-]+)", re.IGNORECASE)
_PLAIN = re.compile(r"ascii|utf-?8(-sig)?|utf-?(16|32)(-[bl]e)?|iso8859-\d+|cp\d+|koi8-[ru]|mac-\w+|"
                    r"gbk|gb2312|gb18030|big5|shift_jis|euc_(jp|kr|jis_2004)|iso2022_(jp|kr)|johab")  # fmt: skip
"""Codecs that are fast whatever they read; others that Python has, such as punycode, are not."""


def sent(body: Any, content_type: str | None) -> tuple[bytes, str | None]:
    """
    A model's body as bytes, and their type: text goes as it is, any other JSON as JSON.

    Raises:
        ValueError: what no encoding takes.
    """
    if body is None:
        return b"", None
    if not isinstance(body, str):
        return json.dumps(body, allow_nan=False, ensure_ascii=False).encode(), content_type or "application/json"
    return body.encode(), content_type or ("application/json" if _is_json(body) else "text/plain; charset=utf-8")


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# -- inflating ----------------------------------------------------------------


async def whole(stream: AsyncIterable[bytes], encoding: str, limit: int, url: str) -> bytes:
    """
    All that *stream* holds, inflated.

    Raises:
        HttpError: more than *limit* bytes, before or after inflating; or of an encoding nobody asked for.
    """
    inflate = None if encoding in {"", "identity"} else Inflate(encoding, limit, url)
    data, arrived, pieces = bytearray(), 0, 0
    async for chunk in stream:
        arrived, pieces = arrived + len(chunk), pieces + 1
        if pieces % 256 == 0:  # tiny pieces can come faster than they are read: let others have a turn
            await asyncio.sleep(0)
        data += inflate(chunk) if inflate else chunk
        if max(arrived, len(data)) > limit:
            raise too_large(url, limit)
    if inflate and arrived:
        inflate.close()
    return bytes(data)


def too_large(url: str, limit: int) -> HttpError:
    return HttpError(url, f"answered with more than the {limit:,} bytes allowed", "Ask for less, such as one page.")


class Inflate:
    """Undoes gzip or deflate, a bounded piece at a time."""

    def __init__(self, encoding: str, limit: int, url: str) -> None:
        if encoding not in {"gzip", "x-gzip", "deflate"}:
            what = f"answered in the encoding {encoding[:40]!r}, which was not asked for"
            raise HttpError(url, what, "It cannot be read; look for another source.")
        self._gzip, self._room, self._url = encoding != "deflate", limit + 1, url
        self._state: Any = None

    def __call__(self, chunk: bytes) -> bytes:
        if self._state is None and chunk:
            # What is called deflate comes with a header of zlib's or, against the standard, without.
            bare = not self._gzip and chunk[0] & 0x0F != 8
            self._state = zlib.decompressobj(31 if self._gzip else -15 if bare else 15)
        if self._state is None or not chunk:
            return b""
        if self._state.eof:
            raise self._broken("goes on after its end")
        try:
            piece: bytes = self._state.decompress(chunk, self._room)
        except zlib.error:
            raise self._broken("is damaged") from None
        self._room -= len(piece)
        if self._state.unused_data:
            raise self._broken("goes on after its end")
        if self._room <= 0:
            self._room = 1  # zero would mean no limit; the caller stops here
        return piece

    def close(self) -> None:
        """Raises: HttpError: the end is missing."""
        if self._state is None or not self._state.eof:
            raise self._broken("was cut off")

    def _broken(self, how: str) -> HttpError:
        return HttpError(self._url, f"answered with a compressed body that {how}", "Try again, or elsewhere.")


# -- reading ------------------------------------------------------------------


@attrs.frozen
class Body:
    """An answer's body and what its header says of it."""

    data: bytes
    content_type: str

    @property
    def kind(self) -> str:
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def is_html(self) -> bool:
        return self.kind in {"text/html", "application/xhtml+xml"}

    def text(self) -> str:
        """What a model reads: text as it is, anything else described."""
        if not self.data:
            return ""
        if _TEXTS.match(self.kind):
            return self.data.decode(self._charset(), "replace").removeprefix("\ufeff")
        if not _NEVER_TEXT.match(self.kind) and b"\0" not in self.data:
            try:
                return self.data.decode()
            except UnicodeDecodeError:
                pass  # so it is none; the line below describes it
        return f"({len(self.data):,} bytes of {self.kind or 'an unknown type'}, which are not text)"

    def _charset(self) -> str:
        """By the byte order mark, the header, or the page itself; UTF-8 where none of them says anything known."""
        if self.data.startswith(codecs.BOM_UTF8):
            return "utf-8"
        if self.data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        said = _CHARSET.search(self.content_type)
        inside = _META.search(self.data[:1024]) if self.is_html and not said else None
        named = said[1] if said else inside[1].decode("ascii", "replace") if inside else "utf-8"
        try:
            codec = codecs.lookup(named).name
        except (LookupError, ValueError):
            return "utf-8"
        return codec if _PLAIN.fullmatch(codec) else "utf-8"
