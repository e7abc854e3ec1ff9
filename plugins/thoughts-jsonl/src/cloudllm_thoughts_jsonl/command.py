"""``cloudllm thoughts``: show, verify, import and anchor chains of thoughts."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import unicodedata
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import ClassVar

from cloudllm_core import Command, Thought, hookimpl
from cloudllm_core.errors import SetupError

from . import files
from .chain import ENDING, JsonlThoughts
from .failures import TamperedThoughtsError
from .heads import Head
from .keys import PrivateKey
from .original import read_original
from .reading import read_whole
from .verdict import Status, believed, of_the_original, verify

STATUS: dict[Status, int] = {"sound": 0, "tampered": 3, "truncated": 4, "unanchored": 5}

EPILOG = """\
exit status: 0 done; for verify: sound, against a head
             1 a file cannot be read or written
             2 used wrongly, or the file is no chain, or the head is not signed by the key
             3 tampered: a thought is not as it was written, or all were written anew
             4 truncated: the end is missing, against a head
             5 unanchored: what is there fits together, but no head was given"""


class Thoughts(Command):
    """Shows, verifies, imports and anchors chains of thoughts."""

    name: ClassVar[str] = "thoughts"
    help: ClassVar[str] = "show, verify, import and anchor chains of thoughts"

    def configure(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        actions = parser.add_subparsers(
            dest="action", metavar="ACTION", required=True, help="show, verify, import, head or keygen"
        )

        def action(name: str, help: str) -> ArgumentParser:
            added = actions.add_parser(name, help=help, description=help, epilog=EPILOG)
            added.formatter_class = parser.formatter_class
            return added

        show = action("show", "print the thoughts of a chain")
        show.add_argument("file", metavar="FILE", help="the chain")
        show.add_argument("--last", metavar="N", type=int, help="only the last N")
        show.add_argument("--json", action="store_true", help="one JSON object a line")
        check = action("verify", "see whether a chain is as it was written")
        check.add_argument("file", metavar="FILE", help="the chain, of ours or of the original")
        check.add_argument("--head", metavar="HEADFILE", help="a head that was kept elsewhere")
        check.add_argument("--key", metavar="PUBKEY", help="the public key that must have signed it, or its file")
        take = action("import", "make a chain of ours of one of the original, after verifying it by its own rule")
        take.add_argument("file", metavar="FILE", help="the chain of the original")
        take.add_argument("--into", metavar="NEW.jsonl", help="the new chain (default: FILE-imported.jsonl)")
        head = action("head", "print the head of a chain, to keep elsewhere")
        head.add_argument("file", metavar="FILE", help="the chain")
        head.add_argument("--out", metavar="HEADFILE", help="write it to this file instead")
        head.add_argument("--key", metavar="KEYFILE", help="the private key to sign it with")
        key = action("keygen", "make a key that signs heads")
        key.add_argument("key_name", metavar="NAME", help="what it is called in heads, such as example.com/notes")
        key.add_argument("--out", metavar="KEYFILE", required=True, help="the new file for the private key")

    def run(self, arguments: Namespace) -> int:
        match arguments.action:
            case "show":
                return show(arguments.file, arguments.last, arguments.json)
            case "verify":
                return check(arguments.file, arguments.head, arguments.key)
            case "import":
                return take(arguments.file, arguments.into)
            case "head":
                return print_head(arguments.file, arguments.out, arguments.key)
            case _:
                return keygen(arguments.key_name, arguments.out)


def show(path: str, last: int | None, as_json: bool) -> int:
    if last is not None and last < 0:
        raise SetupError(f"--last {last}: give a number from 0.")
    verdict = verify(path)
    thoughts = believed(path)
    for thought in thoughts[max(0, len(thoughts) - last) :] if last is not None else thoughts:
        print(json.dumps(_plain(thought)) if as_json else _told(thought))
    if verdict.torn:
        print(verdict.torn, file=sys.stderr)
    if verdict.status == "tampered":
        print(f"cloudllm: {verdict.said}", file=sys.stderr)
        return STATUS["tampered"]
    return 0


def check(path: str, head: str | None, key: str | None) -> int:
    verdict = verify(path, None if head is None else Head.parse(_text(head)), key)
    print(f"{verdict.status}: {verdict.said}")
    if verdict.torn:
        print(verdict.torn)
    return STATUS[verdict.status]


def take(path: str, into: str | None) -> int:
    new = into or f"{path.removesuffix(ENDING)}-imported{ENDING}"
    if not new.endswith(ENDING):
        raise SetupError(f"{new}: the file of a chain ends in {ENDING}. Choose such a name.")
    if os.path.lexists(new):
        raise SetupError(f"{new} is there already. Choose another name: --into NEW.jsonl")
    if not os.path.isfile(path):
        raise SetupError(f"{path}: there is no such file.")
    if not of_the_original(path):
        raise SetupError(f"{path} is not a chain of the original, so there is nothing to import.")
    try:
        found = read_original(path, Path(path).read_bytes())
    except TamperedThoughtsError as problem:
        print(f"cloudllm: {problem}", file=sys.stderr)
        return STATUS["tampered"]
    chain = JsonlThoughts(new, fsync=60.0)
    for each in found:
        thought = each.thought
        refs = sorted({ref for ref in thought.refs if 0 <= ref < thought.index})
        origin = {"file": os.path.basename(path), "hash": each.hash, "timestamp": each.timestamp}
        if refs != list(thought.refs):  # nobody checked them there
            origin["refs"] = json.dumps(thought.refs)
        chain.append_at(thought.at, thought.agent, thought.type, thought.content, refs, {"imported": origin})
    chain.close()
    print(f"{new}: {len(found)} thoughts imported from {path}, where each matched its hash.")
    return 0


def print_head(path: str, out: str | None, key: str | None) -> int:
    if of_the_original(path):
        raise SetupError(f"{path} is a chain of the original, which has no heads. Import it first.")
    try:
        head = Head.of(read_whole(path))
    except TamperedThoughtsError as problem:
        print(f"cloudllm: {problem}", file=sys.stderr)
        return STATUS["tampered"]
    if key is not None:
        head = head.signed(PrivateKey.load(key))
    if out is None:
        print(head, end="")
        return 0
    files.replace(os.path.abspath(out), str(head).encode())
    print(f"{out}: the head of {head.size} thoughts. Keep it where whoever can change {path} cannot change it.")
    return 0


def keygen(name: str, out: str) -> int:
    key = PrivateKey.make(name)
    for path, text in ((out, key.to_text()), (f"{out}.pub", str(key.public))):
        try:
            files.new_file(os.path.abspath(path), f"{text}\n".encode())
        except FileExistsError as problem:
            raise SetupError(f"{path} is there already, and keys are never written over.") from problem
    print(f"{key.public}\nThe private key is in {out}: keep it secret. The public key, above, is in {out}.pub as well.")
    return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except UnicodeDecodeError as problem:
        raise SetupError(f"{path} is no head of a chain: it is not text.") from problem
    except OSError as problem:
        raise SetupError(f"{path} cannot be read ({problem.strerror}).") from problem


def _plain(thought: Thought) -> dict[str, object]:
    return {
        "index": thought.index, "at": thought.at, "agent": thought.agent, "type": thought.type,
        "content": thought.content, "refs": thought.refs, "meta": thought.meta,
    }  # fmt: skip


def _told(thought: Thought) -> str:
    try:
        time = dt.datetime.fromtimestamp(thought.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):  # a clock that was very wrong
        time = f"{thought.at:.0f} s"
    return f"{time} {visible(str(thought))}"


def visible(text: str) -> str:
    """*text* with what a terminal would obey written out; line breaks and tabs stay."""
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in text
    )


@hookimpl
def cloudllm_register_command() -> type[Thoughts]:
    return Thoughts
