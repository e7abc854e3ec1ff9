"""Secrets: values that nobody reads by accident."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn, final


@final
class Secret:
    """
    A key, a token, a password: shown in no repr, log, error or journal.

    ``reveal()`` gives it back, where it is really needed. It has no JSON form and cannot be pickled or copied into
    text; equal secrets have equal values, whatever they are called.
    """

    __slots__ = ("__forms", "__value", "name")

    name: str
    """What to call it where it would have stood, usually the variable it came from."""

    __forms: frozenset[str] | None

    def __init__(self, value: str, name: str = "") -> None:
        self.__value, self.name, self.__forms = value, name, None

    def reveal(self) -> str:
        """The value itself."""
        return self.__value

    def _told(self) -> frozenset[str]:
        """How it may stand in a text."""
        if self.__forms is None:
            self.__forms = frozenset(_forms(self.__value)) if len(self.__value) >= SHORTEST else frozenset()
        return self.__forms

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.__value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __repr__(self) -> str:
        return f"Secret({self.name or '...'})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not written down. Call reveal() where the value is really needed.")


SHORTEST = 8
"""Characters of a value that is worth hiding: a shorter one would be found in words that mean nothing."""

ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS")
"""Which variables hold secrets, by their names."""


def secrets_in(environ: Mapping[str, str]) -> list[Secret]:
    """The secrets in *environ*, by the names of the variables."""
    names = [name for name in environ if name.upper().endswith(ENDINGS)]
    return [Secret(environ[name], name) for name in names if len(environ[name]) >= SHORTEST]


DEPTH = 3
"""How often JSON may stand in JSON: a tool's result in a message in a record."""


class Redaction:
    """Puts ``secret:NAME`` where a known secret stands: as it is, in JSON, or in an address."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        found: dict[str, str] = {}
        for secret in secrets:
            for form in secret._told():
                found.setdefault(form, f"secret:{secret.name or 'unnamed'}")
        self._pairs = sorted(found.items(), key=lambda pair: -len(pair[0]))

    def __call__(self, text: str) -> str:
        for value, name in self._pairs:
            if value in text:
                text = text.replace(value, name)
        return text


def _forms(value: str) -> Iterator[str]:
    """How *value* may stand in a text: plain, in an address, in JSON, in JSON that is text in JSON."""
    yield value
    yield quoted(value)
    for ascii in (True, False):
        told = value
        for _ in range(DEPTH):
            told = json.dumps(told, ensure_ascii=ascii)[1:-1]
            yield told


def quoted(value: str) -> str:
    """*value* as it stands in an address; by hand, for `urllib` is slow to load."""
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    return "".join(
        [c if c in plain else "".join([f"%{byte:02X}" for byte in c.encode(errors="replace")]) for c in value]
    )
