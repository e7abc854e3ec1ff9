"""Bytes to text and back, and what a file is that is no text."""

from __future__ import annotations

import codecs

from ._names import FileError

# UTF-32 before UTF-16: its mark begins like the other's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LONGEST_MARK = 4

_FORMATS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "an SQLite database"),
)


def encoding_of(head: bytes, encoding: str) -> str:
    """The encoding of a file that begins with *head*: that of its byte order mark, otherwise *encoding*."""
    return next((name for mark, name in _MARKS if encoding == "utf-8" and head.startswith(mark)), encoding)


def decode(path: str, data: bytes, encoding: str, size: int, offset: int = 0) -> str:
    """
    The text of *data*, which begins at *offset* of a file of *size* bytes. A byte order mark stays in it.

    Raises:
        FileError: it is no text in *encoding*.
    """
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as problem:
        where = f"byte 0x{data[problem.start]:02x} at {offset + problem.start:,}"
        what = f"is not {encoding.upper()} text ({where})"
        raise FileError(path, what, _description(data, size, offset)) from None
    if "\0" in text:
        what = f"is not text (byte 0x00 at {offset + max(data.find(0), 0):,})"
        raise FileError(path, what, _description(data, size, offset))
    return text


def _description(data: bytes, size: int, offset: int) -> str:
    known = (words for mark, words in _FORMATS if not offset and data.startswith(mark))
    return f"It is {next(known, 'a binary file')} of {max(size, len(data)):,} bytes; only text can be read."


def encode(path: str, text: str, encoding: str, limit: int) -> bytes:
    """
    *text* as it goes into the file *path*.

    Raises:
        FileError: it is no text, cannot be written in *encoding*, or is longer than *limit* bytes.
    """
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError as problem:
        odd = ord(text[problem.start])
        if 0xD800 <= odd <= 0xDFFF:
            what = f"cannot take half a character (U+{odd:04X} at {problem.start:,})"
            raise FileError(path, what, "Send whole Unicode characters.") from None
        what = f"cannot take U+{odd:04X} (at {problem.start:,}), which {encoding} does not have"
        raise FileError(path, what, "Leave it out.") from None
    if "\0" in text:
        raise FileError(path, "cannot take a NUL character", "Only text can be written.")
    if len(data) > limit:
        what = f"would hold {len(data):,} bytes, more than the {limit:,} allowed"
        raise FileError(path, what, "Write less, or split it into several files.")
    return data


def whole_characters(data: bytes, offset: int, length: int) -> bytes:
    """
    Of UTF-8 *data* that begins at *offset*, the characters that begin within *length* bytes.

    So parts of a file that follow each other put together give the file, wherever they are cut.
    """
    first, last = 0, min(length, len(data))
    while offset and first < min(len(data), 3) and _continues(data[first]):
        first += 1
    while last < min(len(data), length + 3) and _continues(data[last]):
        last += 1
    return data[first:last]


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80
