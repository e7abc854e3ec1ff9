"""Output as a model reads it: the end of it, as clean text."""

from __future__ import annotations

import re

import attrs

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # strings for devices
    r"|[\x1b]\[[0-?]*[ -/]*[@-~]?|\x9b[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LONGEST_SCRAP = 1_000


def clean(text: str) -> str:
    """*text* without anything that would steer a terminal; lines end with a line feed."""
    plain = _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))
    return plain.replace("\r", "\n")


@attrs.define(eq=False)
class Tail:
    """The last *keep* bytes of a stream, whatever its length."""

    keep: int
    total: int = 0
    _kept: bytearray = attrs.Factory(bytearray)

    def add(self, data: bytes) -> None:
        self.total += len(data)
        self._kept += data
        if len(self._kept) > 2 * self.keep:
            del self._kept[: len(self._kept) - self.keep]

    @property
    def text(self) -> str:
        """What was kept, as clean text; where something was cut, the first line says how much."""
        kept = bytes(self._kept[-self.keep :])
        if self.total <= self.keep:
            return clean(kept.decode("utf-8", "replace"))
        begin = kept.find(b"\n", 0, _LONGEST_SCRAP) + 1  # half a line may begin inside an escape or a character
        cut = self.total - len(kept) + begin
        return f"[{cut:,} bytes before this were cut]\n" + clean(kept[begin:].decode("utf-8", "replace"))
