"""Thought chains in JSON Lines files: one line a thought, each bound to the one before by hash."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from cloudllm_core import Thought, ThoughtChain
from cloudllm_core.errors import SettingsError, SetupError

from . import files
from .canonical import cleaned, scrubbed
from .chainfile import ChainFile
from .heads import Head
from .keys import PrivateKey
from .reading import View
from .records import header_line, read_header, thought_line

ENDING = ".jsonl"


class JsonlThoughts(ThoughtChain):
    """
    A thought chain in a JSON Lines file, or in a folder a chain for each agent.

    It detects edits, insertions and reordering inside; a cut end and a full rewrite only against a head or
    key that is kept elsewhere. It is no proof that a model said what stands there.
    """

    name: ClassVar[str] = "jsonl"

    def __init__(
        self,
        location: str | Path,
        *,
        fsync: Literal["always", "never"] | float = "always",
        lock_timeout: float = 10.0,
        heads: str | Path | None = None,
        head_every: int = 100,
        key: str | Path | None = None,
    ) -> None:
        """
        Args:
            location: a file ending in ``.jsonl``, made when the first thought is added; or a folder.
            fsync: when a thought must survive a power loss: ``always`` before `append` returns; a number of
                seconds after which it is to at the latest; ``never`` leaves it to the system. A killed
                process loses nothing in any case.
            lock_timeout: seconds to wait for another writer.
            heads: a folder for heads (see `Head`), best on another machine; a chain is then also checked
                against its head when it is opened.
            head_every: write a head after so many thoughts, and at `close`.
            key: the file of a private key that signs heads.

        Raises:
            SettingsError, SetupError: something here is wrong.
        """
        self.location = os.path.abspath(location)
        self.path = self.location if self.location.endswith(ENDING) else None
        self.fsync, self.lock_timeout, self.head_every = fsync, lock_timeout, head_every
        self.heads = None if heads is None else os.path.abspath(heads)
        self._key_file = None if key is None else os.path.abspath(key)
        self._key = None if key is None else PrivateKey.load(str(key))
        self._files: dict[int, ChainFile] = {}
        """By process."""

        self._check_settings()

    def _check_settings(self) -> None:
        if not (
            self.fsync in ("always", "never") or (type(self.fsync) in (int, float) and 0 < float(self.fsync) < 1e6)
        ):
            raise SettingsError("jsonl.fsync", repr(self.fsync), "'always', 'never' or a number of seconds")
        if self.lock_timeout < 0 or self.head_every < 1:
            found = f"lock_timeout={self.lock_timeout:g}, head_every={self.head_every}"
            raise SettingsError("jsonl", found, "a timeout from 0 and a number of thoughts from 1")
        if self.path is None and os.path.isfile(self.location):
            raise SettingsError("jsonl.location", repr(self.location), "a file ending in .jsonl, or a folder")
        folder = self.location if self.path is None else os.path.dirname(self.path)
        if self.heads is not None and os.path.realpath(self.heads) == os.path.realpath(folder):
            raise SettingsError(
                "jsonl.heads",
                repr(self.heads),
                "another folder than the chain's own",
                "Whoever can change the one should not be able to change the other.",
            )

    def for_agent(self, who: Mapping[str, Any]) -> JsonlThoughts:
        """
        In a folder, the chain of the agent *who*; a file is everybody's.

        Its file is ``<safe name>-<16 digits of the SHA-256 of name|name|expertise|personality>.jsonl``, as in
        the original, where an agent's id is its name here: another expertise or personality, another chain.
        """
        if self.path is not None:
            return self
        if not os.path.isdir(self.location):
            try:
                os.makedirs(self.location, mode=0o700, exist_ok=True)
                files.sync_folder_of(self.location)
            except OSError as problem:
                raise SetupError(f"{self.location}: the folder cannot be made ({problem.strerror}).") from problem
        return JsonlThoughts(
            os.path.join(self.location, file_name(who)),
            fsync=self.fsync,
            lock_timeout=self.lock_timeout,
            heads=self.heads,
            head_every=self.head_every,
            key=self._key_file,
        )

    # -- reading --------------------------------------------------------------

    @property
    def thoughts(self) -> Sequence[Thought]:
        """
        All of them, by index; what others added since is read and verified first.

        Raises:
            TamperedThoughtsError: the file is not as it was written. ThoughtsFileError: it cannot be read.
        """
        return View(self._chain().read().thoughts)

    @property
    def torn(self) -> str | None:
        """What is to be said about an unfinished last line that was found; None if there was none."""
        chain = self._chain()
        chain.read()
        return chain.torn

    def identity(self) -> dict[str, Any] | None:
        verified = self._chain().read()  # which knows, so that a long chain need not be searched
        return None if verified.speaker is None else dict(verified.thoughts[verified.speaker].meta["agent"])

    def head(self) -> Head:
        """
        The chain's head as it is now, signed if there is a key, and written to the folder of heads if there is one.

        Raises:
            SetupError: the chain is empty. TamperedThoughtsError, ThoughtsFileError: as `thoughts`.
        """
        chain = self._chain()
        if not chain.read().thoughts or self.heads is None:
            return chain.head()
        with chain.alone():
            chain.note_head()
            return chain.head()

    # -- writing --------------------------------------------------------------

    def append(
        self, agent: str, type: str, content: str, refs: Iterable[int] = (), meta: Mapping[str, Any] | None = None
    ) -> Thought:
        """
        Add a thought. When this returns it is in the file, and on the disk as *fsync* says.

        Raises:
            SetupError: a reference is to no earlier thought, or *meta* holds what cannot be kept: fractions,
                whole numbers beyond 53 bits, what is not JSON. TamperedThoughtsError: the file is not as it was
                written. ThoughtsFileError: the thought could not be written; the file is as it was.
        """
        return self.append_at(time.time(), agent, type, content, refs, meta)

    def append_at(
        self,
        at: float,
        agent: str,
        type: str,
        content: str,
        refs: Iterable[int] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Thought:
        """As `append`, of a thought that is from *at*, in seconds since 1970."""
        kept = cleaned({} if meta is None else meta, "meta")
        texts: dict[str, Any] = {"agent": agent, "type": type, "content": content}
        if wrong := [word for word, text in texts.items() if not isinstance(text, str)]:
            raise SetupError(f"{wrong[0]} is {texts[wrong[0]]!r}, and it should be text.")
        said = {word: scrubbed(str(text)) for word, text in texts.items()}
        chain = self._chain()
        with chain.alone() as fd:
            verified, first = chain.verified, b""
            if (header := verified.header) is None:
                key = "" if self._key is None else self._key.public.id
                first = header_line(str(uuid.uuid4()), round(time.time() * 1000), key)
                header = read_header(first)
            count, refs = len(verified.thoughts), self.checked_refs(refs)
            thought = Thought(index=count, at=at, refs=refs, meta=kept, **said)
            chain.write(fd, first + thought_line(header, verified.previous or header.hash, thought))
            return verified.thoughts[count]

    def close(self) -> None:
        """
        Write the head, where heads are kept, and sync what waits for it. The next call goes on.

        Raises:
            ThoughtsFileError: one of these failed.
        """
        if os.getpid() in self._files:
            self._chain().close()

    def _chain(self) -> ChainFile:
        if self.path is None:
            raise SetupError(
                f"{self.location} is a folder of chains, one for each agent. Give it to agents, or name one: "
                f"JsonlThoughts({self.location!r}).for_agent({{'name': 'ada'}})"
            )
        chain = self._files.get(os.getpid())
        if chain is None:  # after a fork, what was under way is the parent's
            name = os.path.basename(self.path).removesuffix(ENDING)
            head_file = None if self.heads is None else os.path.join(self.heads, f"{name}.head")
            made = ChainFile(self.path, self.fsync, self.lock_timeout, head_file, self.head_every, self._key)
            chain = self._files.setdefault(os.getpid(), made)  # one for all threads
        return chain


def file_name(who: Mapping[str, Any]) -> str:
    """The name of the file that holds the chain of the agent *who*: as the original's, no longer than disks allow."""
    name, expertise, personality = (scrubbed(str(who.get(key) or "")) for key in ("name", "expertise", "personality"))
    safe = "".join(char if char.isalnum() or char in "-_" else "_" for char in name)
    while len(safe.encode()) > 200:
        safe = safe[: 200 if len(safe) > 200 else -1]
    fingerprint = hashlib.sha256(f"{name}|{name}|{expertise}|{personality}".encode()).hexdigest()[:16]
    return f"{safe}-{fingerprint}{ENDING}"
