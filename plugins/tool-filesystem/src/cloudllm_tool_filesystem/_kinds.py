"""Which files may be used, by the ends of their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import attrs

from ._names import FileError


def endings(extensions: Sequence[str]) -> tuple[str, ...]:
    """
    *extensions* as they are compared: lower case, with their dot.

    Raises:
        ValueError: one of them is no extension.
    """
    if isinstance(extensions, str):
        raise ValueError(f"extensions must be a list such as ['.md', '.txt'], not {extensions!r}")
    for extension in extensions:
        if not re.fullmatch(r"\.?[^./\\\s][^/\\\s]*", extension) or extension.endswith("."):
            raise ValueError(f"{extension!r} is no extension; write one such as '.md'")
    return tuple("." + extension.lower().removeprefix(".") for extension in extensions)


def _loosely(name: str) -> str:
    """*name* as the most forgiving file system may take it: no case, one form of each letter, no dots at the end."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).rstrip(". ")


@attrs.frozen
class Kinds:
    """
    The rule: a file may be used if its name ends with one *allowed* and is none *denied*.

    What is allowed is read narrowly, so that ``n.md.`` and ``Makefile`` are no ``.md``. What is denied is
    read widely: ``N.SH. `` is a ``.sh``, and ``.env`` means ``.env``, ``prod.env`` and ``.env.local``.
    """

    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        """Whether a file called *name* may be used."""
        if self.allowed is not None and not name.lower().endswith(self.allowed):
            return False
        return not (self.denied and self._denies(_loosely(name)))

    def _denies(self, name: str) -> bool:
        return any(name.endswith(ending) or name.startswith(f"{ending}.") for ending in map(_loosely, self.denied))

    def check(self, path: str, name: str, linked: bool = False) -> None:
        """
        Let a file called *name* through.

        Raises:
            FileError: *path* names, or is a link to (*linked*), a kind that may not be used.
        """
        if name in self:
            return
        what = "is a link to what is not of a kind" if linked else "is not of a kind"
        remedy = f"Names must end with: {', '.join(self.allowed)}" if self.allowed else ""
        if self.denied:
            remedy += f"{', and' if remedy else 'Names must'} not be or end with: {', '.join(self.denied)}"
        raise FileError(path, f"{what} that may be used here", f"{remedy}.")
