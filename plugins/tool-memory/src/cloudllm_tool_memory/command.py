"""``cloudllm memory``: look into a store, and change what is in it."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn

from cloudllm_core import Command, Item, Store, hookimpl
from cloudllm_core.errors import SettingsError, SetupError, StoreError

from ._faults import MemoryFault
from .memory import Memory

TAKES = {
    "get": ("KEY",),
    "put": ("KEY", "VALUE"),
    "list": ("[PREFIX]",),
    "delete": ("KEY",),
    "snapshot": (),
    "restore": ("FILE",),
}
"""What each of its words takes."""

OPTIONS = {"json": ("get", "put", "list"), "ttl": ("put",), "meta": ("list",)}
"""Which words the options belong to that not all have."""

EPILOG = """\
  get KEY          print the value: text as it is, anything else as JSON
  put KEY VALUE    store VALUE as text; - reads it from standard input
  list [PREFIX]    print the keys, all or those that begin with PREFIX
  delete KEY       delete the key
  snapshot         print everything as JSON
  restore FILE     let the store hold what such a file says, and nothing else

example: cloudllm memory get plan --store sqlite:team.db

exit status: 0 done, 1 there is no such key, 2 it cannot be done"""


class MemoryCommand(Command):
    """Shows and changes what agents keep in a store."""

    name: ClassVar[str] = "memory"
    help: ClassVar[str] = "show and change what agents keep in a store"

    def configure(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        parser.add_argument("what", choices=list(TAKES), help="see below")
        parser.add_argument("key", metavar="KEY", nargs="?", help="the key; for list, a prefix; for restore, a file")
        parser.add_argument("value", metavar="VALUE", nargs="?", help="the value, for put")
        parser.add_argument("--store", metavar="STORE", help="which store, such as sqlite:team.db")
        parser.add_argument("--namespace", metavar="NAME", default="", help="only the keys of this namespace")
        parser.add_argument("--ttl", metavar="SECONDS", type=float, help="for put: how long the value is kept")
        parser.add_argument("--meta", action="store_true", help="for list: when stored, and the seconds left")
        parser.add_argument("--json", action="store_true", help="print JSON; for put, VALUE is JSON")

    def run(self, arguments: Namespace) -> int:
        import asyncio

        _check(arguments)
        try:
            return asyncio.run(_perform(arguments))
        except (MemoryFault, StoreError) as problem:  # not 1, which says that there is no such key
            raise SetupError(getattr(problem, "sentence", "") or str(problem)) from problem


def _check(arguments: Namespace) -> None:
    """Raises: SetupError: the words make no sense together."""
    what, given = arguments.what, [word for word in (arguments.key, arguments.value) if word is not None]
    takes = TAKES[what]
    usage = " ".join(["cloudllm memory", what, *takes, "--store sqlite:team.db"])
    if not arguments.store:
        raise SetupError(f"Say which store it is about, for example: {usage}")
    if not len([word for word in takes if word[0] != "["]) <= len(given) <= len(takes):
        raise SetupError(f"{what} takes {' and '.join(takes) or 'nothing more'}: {usage}")
    for option, words in OPTIONS.items():
        asked = getattr(arguments, option)
        if asked is not None and asked is not False and what not in words:
            raise SetupError(f"--{option} is for {', '.join(words)}, and not for {what}.")


async def _perform(arguments: Namespace) -> int:
    store: Store = arguments.registry.build("store", arguments.store)
    memory = Memory(store, namespace=arguments.namespace)
    try:
        return await _WORDS[arguments.what](memory, arguments)
    finally:
        await store.aclose()


# -- the words ----------------------------------------------------------------


def _seen(memory: Memory) -> Memory | Store:
    """Where to look: whoever has the store may see all of it, its namespaces too."""
    return memory if memory.namespace else memory.store


async def _get(memory: Memory, arguments: Namespace) -> int:
    item = await _seen(memory).get(arguments.key)
    if item is None:
        return _missing(arguments.key)
    print(item.value if isinstance(item.value, str) and not arguments.json else _json(item.value))
    return 0


async def _put(memory: Memory, arguments: Namespace) -> int:
    text = sys.stdin.read() if arguments.value == "-" else arguments.value
    await memory.put(arguments.key, _parsed(text, "VALUE") if arguments.json else text, arguments.ttl)
    return 0


async def _delete(memory: Memory, arguments: Namespace) -> int:
    return 0 if await memory.delete(arguments.key) else _missing(arguments.key)


async def _list(memory: Memory, arguments: Namespace) -> int:
    items = await _seen(memory).list(arguments.key or "")
    if not arguments.meta:
        keys = [item.key for item in items]
        print(_json(keys) if arguments.json else "\n".join(keys), end="\n" if keys or arguments.json else "")
        return 0
    now = await memory.store.now()
    rows = [(item.key, _moment(item), None if item.expires is None else round(item.expires - now, 3)) for item in items]
    if arguments.json:
        print(_json([{"key": key, "added_utc": written, "expires_in": left} for key, written, left in rows]))
    else:
        print(_table([(key, written, "" if left is None else f"{left:g}") for key, written, left in rows]))
    return 0


async def _snapshot(memory: Memory, arguments: Namespace) -> int:
    # ASCII: what is written to a file by one terminal must be read at another
    print(json.dumps(await memory.snapshot(), indent=2))
    return 0


async def _restore(memory: Memory, arguments: Namespace) -> int:
    snapshot = _parsed(_read(arguments.key), arguments.key)
    try:
        await memory.restore(snapshot)
    except SettingsError as problem:
        raise SetupError(f"{arguments.key} is no snapshot, and nothing was changed. {problem}") from problem
    count = len(snapshot["items"])
    print(f"Restored {count} key{'' if count == 1 else 's'}.")
    return 0


_WORDS = {"get": _get, "put": _put, "list": _list, "delete": _delete, "snapshot": _snapshot, "restore": _restore}


# -- in and out ---------------------------------------------------------------


def _missing(key: str) -> int:
    print(f"cloudllm: Nothing is stored under {key!r}.", file=sys.stderr)
    return 1


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except (OSError, UnicodeDecodeError) as problem:
        raise SetupError(f"{file} cannot be read: {getattr(problem, 'strerror', None) or problem}.") from problem


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise SetupError(f"{what} is not JSON: {problem}.") from problem


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number there")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _moment(item: Item) -> str:
    return datetime.fromtimestamp(item.written, UTC).isoformat(timespec="seconds")


def _table(rows: Sequence[tuple[str, str, str]]) -> str:
    lines = [("KEY", "STORED (UTC)", "SECONDS LEFT"), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


@hookimpl
def cloudllm_register_command() -> type[MemoryCommand]:
    return MemoryCommand
