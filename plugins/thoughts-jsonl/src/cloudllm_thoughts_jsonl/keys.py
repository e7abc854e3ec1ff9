"""
Keys for signed heads, as text in the form of C2SP's signed notes (https://c2sp.org/signed-note).

Public: ``<name>+<number>+<base64>``. Private: ``PRIVATE+KEY+<name>+<number>+<base64>``. The number is the
beginning of a hash of name and public key, and tells keys of one name apart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

import attrs

from cloudllm_core.errors import SetupError

_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"


@attrs.frozen
class PublicKey:
    """What a signature is checked with."""

    name: str
    raw: bytes

    @property
    def number(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:4]

    @property
    def id(self) -> str:
        """Name and number: short, and no secret."""
        return f"{self.name}+{self.number.hex()}"

    def __str__(self) -> str:
        return f"{self.id}+{_base64(_ED25519 + self.raw)}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Raises: SetupError: *text* is no public key."""
        name, number, raw = _parts(text.strip(), "public key")
        key = cls(name, raw)
        if key.number.hex() != number:
            raise SetupError(f"The public key {text.strip()[:60]!r} is damaged: its parts do not belong together.")
        return key

    def has_signed(self, text: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text)
        except InvalidSignature:
            return False
        return True


@attrs.frozen
class PrivateKey:
    """What signs."""

    public: PublicKey
    _seed: bytes = attrs.field(repr=False)

    @classmethod
    def make(cls, name: str) -> PrivateKey:
        """A new one. Raises: SetupError: *name* cannot be the name of a key."""
        if not name or "+" in name or any(char.isspace() or not char.isprintable() for char in name):
            raise SetupError(f"{name!r} cannot be the name of a key. Choose one without spaces and '+'.")
        return cls._of(name, os.urandom(32))

    @classmethod
    def _of(cls, name: str, seed: bytes) -> PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(PublicKey(name, Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()), seed)

    @classmethod
    def load(cls, path: str) -> PrivateKey:
        """The key in the file *path*. Raises: SetupError: there is none."""
        text = _text_of(path, "thoughts keygen NAME --out FILE makes one").strip()
        if not text.startswith(_PRIVATE):
            raise SetupError(f"{path} holds no private key. Make one: cloudllm thoughts keygen NAME --out FILE")
        name, number, seed = _parts(text.removeprefix(_PRIVATE), "private key")
        key = cls._of(name, seed)
        if key.public.number.hex() != number:
            raise SetupError(f"{path}: the private key is damaged: its parts do not belong together.")
        return key

    def to_text(self) -> str:
        """The key itself: keep it secret."""
        return f"{_PRIVATE}{self.public.id}+{_base64(_ED25519 + self._seed)}"

    def sign(self, text: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed).sign(text)


def public_key(given: str) -> PublicKey:
    """The public key *given*: itself, or the name of the file that holds it. Raises: SetupError."""
    return PublicKey.parse(_text_of(given, "") if os.path.isfile(given) else given)


def _parts(text: str, what: str) -> tuple[str, str, bytes]:
    name, _, rest = text.partition("+")
    number, _, body = rest.partition("+")
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not name or len(number) != 8 or len(raw) != 33 or raw[:1] != _ED25519:
        raise SetupError(f"This is no {what} in the form <name>+<number>+<base64>. cloudllm thoughts keygen makes one.")
    return name, number, raw[1:]


def _text_of(path: str, hint: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as problem:
        raise SetupError(f"{path} holds no key: it is not text.") from problem
    except OSError as problem:
        raise SetupError(f"{path} cannot be read ({problem.strerror}). {hint}".strip()) from problem


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
