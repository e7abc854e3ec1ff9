"""
Heads: how long a chain is and what it comes to, noted elsewhere, so that a cut or rewritten file is found out.

A head is a checkpoint of C2SP's tlog-checkpoint (https://c2sp.org/tlog-checkpoint): origin, size and the
root of the Merkle tree (RFC 6962) over the hashes of the thoughts, perhaps with Ed25519 signatures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

import attrs

from cloudllm_core.errors import SetupError

from .failures import TamperedThoughtsError
from .keys import PrivateKey, PublicKey
from .reading import Verified

ORIGIN = "cloudllm-thoughts/"
_DASH = "\N{EM DASH} "


@attrs.define(eq=False)
class Tree:
    """A Merkle tree that grows: the roots of its whole subtrees, largest first."""

    size: int = 0
    _peaks: list[bytes] = attrs.Factory(list)

    def grow(self, hashes: Iterable[str]) -> None:
        """Add a leaf for each of *hashes*, which are hexadecimal."""
        sha256, peaks = hashlib.sha256, self._peaks
        for leaf in hashes:
            node = sha256(b"\0" + bytes.fromhex(leaf)).digest()
            size = self.size
            while size & 1:
                node = sha256(b"\1" + peaks.pop() + node).digest()
                size >>= 1
            peaks.append(node)
            self.size += 1

    @property
    def root(self) -> bytes:
        if not self._peaks:
            return hashlib.sha256().digest()
        *others, root = self._peaks
        for peak in reversed(others):
            root = hashlib.sha256(b"\1" + peak + root).digest()
        return root


@attrs.frozen
class Head:
    """The length of a chain, and what its thoughts come to; ``str()`` is the note to keep."""

    chain: str
    size: int
    """How many thoughts it is of."""

    root: bytes
    signatures: tuple[str, ...] = ()

    @classmethod
    def of(cls, verified: Verified, tree: Tree | None = None) -> Head:
        """The head of a chain as it was read; *tree* is one of its beginning, and grows."""
        if verified.header is None:
            raise SetupError(f"{verified.source} holds no chain yet, so it has no head.")
        tree = tree or Tree()
        tree.grow(verified.hashes[tree.size :])
        return cls(verified.header.chain, tree.size, tree.root)

    @classmethod
    def parse(cls, text: str) -> Head:
        """Raises: SetupError: *text* is no head of a chain of thoughts."""
        body, _, signed = text.partition("\n\n")
        lines = body.strip("\n").split("\n")
        signatures = tuple(line for line in signed.split("\n") if line)
        try:
            origin, size, root = lines
            decoded = base64.b64decode(root, validate=True)
            if not origin.startswith(ORIGIN) or len(decoded) != 32 or str(int(size)) != size or int(size) < 0:
                raise ValueError
            if any(not line.startswith(_DASH) or line.count(" ") != 2 for line in signatures):
                raise ValueError
        except ValueError as problem:  # binascii.Error is one
            raise SetupError(
                "This is no head of a chain. One is three lines: cloudllm-thoughts/<chain>, the number of thoughts, "
                "and the root. cloudllm thoughts head FILE makes one."
            ) from problem
        return cls(origin.removeprefix(ORIGIN), int(size), decoded, signatures)

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{ORIGIN}{self.chain}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def __str__(self) -> str:
        return self.text + "".join(f"{line}\n" for line in ("", *self.signatures) if self.signatures)

    def signed(self, key: PrivateKey) -> Head:
        """This head with a signature of *key*."""
        signature = key.public.number + key.sign(self.text.encode())
        line = f"{_DASH}{key.public.name} {base64.b64encode(signature).decode()}"
        return attrs.evolve(self, signatures=(*self.signatures, line))

    def check_signature(self, key: PublicKey) -> None:
        """
        Raises:
            SetupError: *key* did not sign this head.
        """
        for line in self.signatures:
            name, _, body = line.removeprefix(_DASH).partition(" ")
            try:
                raw = base64.b64decode(body, validate=True)
            except binascii.Error:
                continue
            if name == key.name and raw[:4] == key.number and key.has_signed(self.text.encode(), raw[4:]):
                return
        signers = ", ".join(line.removeprefix(_DASH).partition(" ")[0] for line in self.signatures) or "nobody"
        raise SetupError(
            f"The head is not signed by {key.id} (it names {signers}). It was changed, or this is the wrong key."
        )

    def check(self, verified: Verified) -> None:
        """
        Raises:
            CutThoughtsError: the chain is shorter than it was. TamperedThoughtsError: it is another one.
        """
        there = len(verified.hashes)
        if verified.header is not None and verified.header.chain != self.chain:
            raise TamperedThoughtsError(
                verified.source,
                None,
                f"the file holds the chain {verified.header.chain}, and the head is of {self.chain}: the file was "
                "replaced, or the head is another's",
            )
        if there < self.size:
            raise CutThoughtsError(
                verified.source,
                None,
                f"there are {there} thoughts, and there were {self.size} when the head was taken: the end was cut off",
            )
        tree = Tree()
        tree.grow(verified.hashes[: self.size])
        if tree.root != self.root:
            raise TamperedThoughtsError(
                verified.source,
                None,
                f"the first {self.size} thoughts fit together, and are not those that the head was taken of: "
                "they were written anew",
            )


class CutThoughtsError(TamperedThoughtsError):
    """A chain is shorter than it was when its head was taken."""
