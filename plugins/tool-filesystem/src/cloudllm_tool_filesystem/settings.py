"""What a user sets, and the way to a file that all tools take."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from cloudllm_core import ToolProtocol

from ._kinds import Kinds, endings
from ._names import parts_of
from ._root import Root, Spot


def _real(root: str | os.PathLike[str]) -> Path:
    return Path(root).expanduser().resolve()


def _allowed(extensions: Sequence[str] | None) -> tuple[str, ...] | None:
    if extensions is not None and not extensions:
        raise ValueError(f"extensions must be a list such as ['.md', '.txt'], not {extensions!r}")
    return None if extensions is None else endings(extensions)


def _text_encoding(name: str) -> str:
    try:
        marks = "".encode(name)
    except LookupError:
        raise ValueError(f"{name!r} is no encoding of text; write one such as 'utf-8' or 'latin-1'") from None
    if marks:
        raise ValueError(f"{name!r} marks each piece it writes; write 'utf-8', which reads marked files too")
    return codecs.lookup(name).name


@attrs.frozen
class FileSettings(ToolProtocol):
    """Which files, and what may be done with them."""

    root: Path = attrs.field(converter=_real)
    """
    Made on first use if missing, unless *read_only*. Links to it are followed when this is made, and not later.
    Not the home folder or one above it, unless *anywhere*.
    """

    read_only: bool = attrs.field(default=False, kw_only=True)
    """Whether only the tools that read are offered."""

    extensions: tuple[str, ...] | None = attrs.field(default=None, kw_only=True, converter=_allowed)
    """Endings of the files that may be used, for every tool; None is all. Folders may be called anything."""

    denied: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=endings)
    """Endings of files that may not be used; ``.env`` also means ``.env.local``."""

    max_bytes: int = attrs.field(default=10 * 2**20, kw_only=True, validator=attrs.validators.ge(1))
    """The largest file that is read whole, or left behind by a change."""

    encoding: str = attrs.field(default="utf-8", kw_only=True, converter=_text_encoding)
    """Of text files; with UTF-8, those that begin with the mark of UTF-16 or UTF-32 are read and kept as that."""

    foreign: bool = attrs.field(default=False, kw_only=True)
    """Whether the files come from outside the team, so that what they say is not to be trusted."""

    anywhere: bool = attrs.field(default=False, kw_only=True)
    """Whether any folder may be the root; changes are then said to reach outside the workspace."""

    def __attrs_post_init__(self) -> None:
        if not self.anywhere and _holds_home(self.root):
            # Said to the user, who wrote it; no model reads this.
            raise ValueError(f"root {str(self.root)!r} holds the home folder; name one below it, or set anywhere")
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(f"root must be a folder, and not the file {str(self.root)!r}")

    @property
    def rooted(self) -> Root:
        """The root, ready to be opened."""
        return Root(self.root, self.read_only)

    @property
    def kinds(self) -> Kinds:
        """Which files may be used."""
        return Kinds(self.extensions, self.denied)

    @contextmanager
    def file(self, path: str, **how: bool) -> Iterator[Spot]:
        """Where *path* is or would be, if a file of its kind, and of that which a link leads to, may be used."""
        parts = parts_of(path)
        if parts:
            self.kinds.check(path, parts[-1])
        with self.rooted.spot(path, **how) as spot:
            if spot.linked and not (spot.found and stat.S_ISDIR(spot.found.st_mode)):
                self.kinds.check(path, spot.name, linked=True)
            yield spot


def _holds_home(root: Path) -> bool:
    try:
        home = Path.home().resolve()
    except RuntimeError:  # nobody's home is known
        home = Path("/")
    return root in (home, *home.parents)
