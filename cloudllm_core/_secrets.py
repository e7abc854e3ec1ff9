"""Secrets: values that nobody reads by accident."""

from __future__ import annotations

import contextlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, final


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
            value = self.__value.strip()
            self.__forms = frozenset(_forms(value)) if len(value) >= SHORTEST else frozenset()
        return self.__forms

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(*[one.__value.encode(errors="surrogatepass") for one in (self, other)])

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __repr__(self) -> str:
        return f"Secret({self.name or '...'})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not written down. Call reveal() where the value is really needed.")


SHORTEST = 8
"""Characters of a value that is worth hiding: a shorter one would be found in words that mean nothing."""

ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS", "AUTHORIZATION", "HEADERS")
"""Which variables hold secrets, by their names."""


def is_secret(name: str) -> bool:
    """Whether what is called *name* is a secret, or holds some."""
    return name.upper().endswith(ENDINGS)


def masked(value: Any, levels: int = 8) -> Any:
    """*value*, to be shown in short: without what is called like a secret in it, and addresses without their users."""
    if isinstance(value, Mapping) and levels:
        return {key: "..." if is_secret(str(key)) else masked(item, levels - 1) for key, item in value.items()}
    if type(value) in (list, tuple) and levels:
        return type(value)([masked(item, levels - 1) for item in value])
    if isinstance(value, str) and "://" in value:
        return re.sub(r"//[^/@\s]*@|\?\S*", "...", str(value))
    return value if levels else "..."


WORDS = re.compile("(?!.{20})[A-Za-z]+([-_ .][A-Za-z]+)*").fullmatch
"""Short words, which are no secret: ``postgres`` as a password would be found wherever there is talk of it."""


def secrets_in(environ: Mapping[str, str]) -> list[Secret]:
    """The secrets in *environ*, by the names of the variables; short words are none."""
    named = {name: environ[name].strip() for name in environ if is_secret(name)}
    return [Secret(value, name) for name, value in named.items() if len(value) >= SHORTEST and not WORDS(value)]


DEPTH = 3
"""How often JSON may stand in JSON: a tool's result in a message in a record."""

LINE = 16
"""Characters of a line that is worth hiding by itself, in a secret of many lines."""


class Redaction:
    """
    Puts ``secret:NAME`` where a known secret stands: as it is, in JSON, or in an address.

    With *texts*, those of *secrets* that were hidden in them: what a run did not know, its replay must not hide.
    """

    def __init__(self, secrets: Iterable[Secret], texts: Sequence[str] | None = None) -> None:
        named: dict[str, set[str]] = {}
        for secret in secrets:
            named.setdefault(f"secret:{secret.name or 'unnamed'}", set()).update(secret._told())
        told = {name for name in named if texts is None or any(name in text for text in texts)}
        self._pairs = sorted(((form, name) for name in told for form in named[name]), key=lambda pair: -len(pair[0]))

    def __call__(self, text: str) -> str:
        pairs = [pair for pair in self._pairs if pair[0] in text]
        return _covered(text, pairs) if pairs else text


def _covered(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    """*text* with names for values; values that overlap are hidden as one, by the name of the first."""
    spans = [(found.start(), -len(v), name) for v, name in pairs for found in re.finditer(f"(?={re.escape(v)})", text)]
    pieces, upto = [""], 0
    for at, length, name in sorted(spans):
        if at >= upto:
            pieces += [text[upto:at], name]
        upto = max(upto, at - length)
    return "".join([*pieces, text[upto:]])


def clean(problem: BaseException, hide: Callable[[str], str]) -> None:
    """Take secrets out of what *problem*, and what it comes from, say when they are printed."""
    known = [problem]
    for one in known:  # it grows
        more = (one.__cause__, one.__context__, *getattr(one, "exceptions", ()))
        known += [other for other in more if other is not None and other not in known]
        one.args = tuple([hide(said) if isinstance(said, str) else said for said in one.args])
        for name in {*vars(one), *getattr(type(one), "__match_args__", ()), "strerror", "filename"}:
            if isinstance(said := getattr(one, name, None), str) and hide(said) != said:
                with contextlib.suppress(AttributeError):  # what cannot be set was made of what can
                    setattr(one, name, hide(said))
        if notes := getattr(one, "__notes__", None):
            notes[:] = [hide(note) for note in notes]


def _forms(value: str) -> Iterator[str]:
    """How *value* may stand in a text: plain, in an address, in JSON, in JSON that is text in JSON."""
    if re.fullmatch("[A-Za-z0-9._~-]+", value):  # most keys: the same everywhere
        yield value
        return
    lines = [line.strip() for line in value.splitlines()]
    for line in {value, *[line for line in lines if len(line) >= LINE and not line.startswith("-----")]}:
        yield line
        yield from [quoted(line, safe, digits) for safe in ("", "/") for digits in ("02X", "02x")]
        for ascii in (True, False):
            told = line
            for _ in range(DEPTH):
                told = json.dumps(told, ensure_ascii=ascii)[1:-1]
                yield from (told, told.replace("/", "\\/"))


def quoted(value: str, safe: str = "", digits: str = "02X") -> str:
    """*value* as it stands in an address; by hand, for `urllib` is slow to load."""
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + safe
    pieces = [[c] if c in plain else [f"%{byte:{digits}}" for byte in c.encode(errors="replace")] for c in value]
    return "".join([piece for each in pieces for piece in each])
