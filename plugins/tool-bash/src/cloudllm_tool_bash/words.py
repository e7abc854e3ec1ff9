"""
Allow and deny lists over the words of a command, wherever in it a program is named.

They keep agents to what they are meant to use. They are no security boundary: a program that is allowed
may itself start others (``python``, ``awk``, ``git``, ``make``, ``tar``). The sandbox is the boundary.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

import attrs

from .errors import CommandRefusedError
from .shell import DEEPEST, Command, UnclearError, Word, commands

STANDARD = frozenset({"/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"})
SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "ash"})
OPAQUE = frozenset({
    ".", "source", "alias", "declare", "typeset", "local", "enable", "hash", "trap", "let", "bind", "complete",
    "compgen", "fc", "mapfile", "readarray", "parallel", "script", "watch",
})  # fmt: skip
"""What they run, or change, is not in their words."""

SETTERS = frozenset({"printf", "read", "export", "readonly", "unset", "getopts", "test", "[", "wait"})
"""Builtins that set variables, or evaluate what is between ``[`` and ``]`` in their words."""

STEERING = frozenset({
    "PATH", "BASH_ENV", "ENV", "IFS", "SHELLOPTS", "BASHOPTS", "PROMPT_COMMAND", "PS4", "LD_PRELOAD",
    "LD_LIBRARY_PATH", "LD_AUDIT",
})  # fmt: skip
"""Variables that decide which program a name means, or what runs beside it."""

_SETS = re.compile(rf"({'|'.join(sorted(STEERING))})(?:\[.*\])?\+?(?:=.*)?", re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=")
_ENTRY = re.compile(r"[\w./+:@%=,\[-]+(?: [\w./+:@%=,\[-]+)*")
_DASH_C = re.compile(r"-[eux]*c")
_STRICT = re.compile(r"-[eux]+")


@attrs.frozen
class Wrapper:
    """How a program that runs another one takes its own words."""

    valued: frozenset[str] = frozenset()
    """Its options that take a value."""

    flags: frozenset[str] = frozenset()
    before: int = 0
    """How many words stand between the options and the program."""


def _wrapper(valued: str = "", flags: str = "", before: int = 0) -> Wrapper:
    return Wrapper(frozenset(valued.split()), frozenset(flags.split()), before)


WRAPPERS = {
    "env": _wrapper("-u --unset -C --chdir", "-i - --ignore-environment"),
    "xargs": _wrapper(
        "-I -n -P -L -d -s -a -E --max-args --max-procs --max-lines --delimiter --replace --arg-file",
        "-0 -r -t -p -x --null --no-run-if-empty --verbose",
    ),
    "sudo": _wrapper("-u -g -h -p -C -D --user --group", "-n -E -H -S -k -b --non-interactive"),
    "doas": _wrapper("-u -C", "-n -L"),
    "nohup": _wrapper(),
    "setsid": _wrapper("", "-c -f -w --fork --wait --ctty"),
    "exec": _wrapper("-a", "-c -l"),
    "command": _wrapper("", "-p -v -V"),
    "builtin": _wrapper(),
    "time": _wrapper("-f -o --format --output", "-p -v -a -q --portability --verbose"),
    "nice": _wrapper("-n --adjustment"),
    "ionice": _wrapper("-c -n --class --classdata", "-t"),
    "timeout": _wrapper("-s -k --signal --kill-after", "-v --foreground --preserve-status", before=1),
    "stdbuf": _wrapper("-i -o -e --input --output --error"),
    "chroot": _wrapper("", "", before=1),
    "busybox": _wrapper(),
    "toybox": _wrapper(),
}


def entries(given: Iterable[str]) -> tuple[str, ...]:
    """A list of programs, as it is written down. Raises: TypeError, ValueError."""
    if isinstance(given, str):
        raise TypeError(f"allow and deny must be lists such as ['git', 'ls'], not {given!r}")
    found = tuple(given)
    for entry in found:
        if not _ENTRY.fullmatch(str(entry)):
            raise ValueError(f"{entry!r} must be a program's name, or its first words, such as 'git status'")
    return found


@attrs.frozen
class Lists:
    """What may be run, and what not: entries are a program's name or path, or its first words."""

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()

    def judge(self, source: str) -> None:
        """
        Let *source* pass, or refuse it.

        Raises:
            CommandRefusedError: a program in it is denied or not allowed, or it is not certain which ones there are.
        """
        if not self.allow and not self.deny:
            return
        try:
            for command in commands(source):
                for each in _unwrapped(command):
                    self._judge(each)
        except UnclearError as problem:
            what = f"which programs it runs cannot be told by reading it: {problem}"
            raise CommandRefusedError(what, "Write it as plain commands, with the names of programs in full.") from None

    def _judge(self, command: Command) -> None:
        shown = command[0].text
        if any(_denies(entry.split(), command) for entry in self.deny):
            raise CommandRefusedError(f"{shown!r} is denied here", "Do without it.")
        if self.allow and not any(_allows(entry.split(), command) for entry in self.allow):
            known = ", ".join(self.allow)
            raise CommandRefusedError(
                f"{' '.join(w.text for w in command[:2])!r} is not allowed here", f"Use: {known}."
            )


def _denies(entry: Sequence[str], command: Command) -> bool:
    program = command[0].text
    if entry[0] not in (program, os.path.basename(program)):
        return False
    for wanted, word in zip(entry[1:], command[1:], strict=False):
        if not word.certain:
            raise UnclearError(f"the words after {program!r} are only known when it runs")
        if wanted != word.text:
            return False
    return len(command) >= len(entry)


def _allows(entry: Sequence[str], command: Command) -> bool:
    folder, name = os.path.split(command[0].text)
    meant = command[0].text == entry[0] or (folder in STANDARD and name == entry[0])
    rest = [(wanted, word) for wanted, word in zip(entry[1:], command[1:], strict=False)]
    return meant and len(command) >= len(entry) and all(word.certain and wanted == word.text for wanted, word in rest)


# -- programs that run programs --


def _unwrapped(command: Command, depth: int = 0) -> Iterator[Command]:
    """*command* without its assignments, and the commands that it runs by what its own words say."""
    words = _without_assignments(command)
    if not words:
        return
    if depth > DEEPEST:
        raise UnclearError(f"it is nested more than {DEEPEST} deep")
    if not words[0].certain:
        raise UnclearError("the name of a program is only known when it runs")
    yield words
    name = os.path.basename(words[0].text)
    if name in OPAQUE:
        raise UnclearError(f"what {name!r} runs or changes is not in its words")
    for word in words[1:]:
        text = re.sub("^-[a-z]+", "", word.text) if name in SETTERS else word.text  # as in printf -vPATH
        if found := _SETS.fullmatch(text):
            raise UnclearError(f"{found[1]} is set, or may be")
    if name in SETTERS:
        _check_setting(name, words[1:])
    if name in SHELLS:
        inner = commands(_script(name, words[1:]), depth)
    elif name == "eval":
        inner = commands(" ".join(map(_sure, words[1:])), depth)
    elif name == "find":
        inner = list(_actions(words))
    elif name in WRAPPERS:
        inner = [_inner(name, WRAPPERS[name], words[1:])]
    else:
        return
    for each in inner:
        yield from _unwrapped(each, depth + 1)


def _without_assignments(command: Command) -> Command:
    for nth, word in enumerate(command):
        match = _ASSIGNMENT.match(word.text)
        if match is None:
            return command[nth:]
        if match[1] in STEERING:
            raise UnclearError(f"{match[1]} is set")
    return []


def _sure(word: Word) -> str:
    if not word.certain:
        raise UnclearError("a command is put together when it runs")
    return word.text


def _script(shell: str, words: Command) -> str:
    for nth, word in enumerate(words[:-1]):
        if _DASH_C.fullmatch(_sure(word)):
            return _sure(words[nth + 1])
        if not _STRICT.fullmatch(word.text):
            break
    raise UnclearError(f"{shell!r} runs what is in a file, or what it reads")


def _check_setting(name: str, words: Command) -> None:
    """Raises: UnclearError: a builtin that sets variables may set one that steers, or evaluates what it is given."""
    targets = name != "printf" or any(word.text.startswith("-v") or not word.certain for word in words[:1])
    for word in words:
        if "[" in word.text and ("$(" in word.text or "`" in word.text):
            raise UnclearError(f"{name!r} might run what is in its words")
        if not word.certain and targets and "=" not in word.text and name not in ("test", "[", "wait"):
            raise UnclearError(f"which variable {name!r} sets is only known when it runs")


def _filled(words: Command, mark: str) -> Command:
    """*words*, of which those with *mark* are only known when something has been put there."""
    return [Word(word.text, word.certain and mark not in word.text, word.bare) for word in words]


def _actions(words: Command) -> Iterator[Command]:
    """The commands of find's actions."""
    current: Command | None = None
    for word in words[1:]:
        if current is not None and word.text in (";", "+"):
            yield _filled(current, "{}")
            current = None
        elif current is not None:
            current.append(word)
        elif word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            current = []
        elif not word.certain and not word.text:
            raise UnclearError("what 'find' is to do is only known when it runs")
    if current:
        yield _filled(current, "{}")


def _inner(name: str, wrapper: Wrapper, words: Command) -> Command:
    rest, mark = list(words), ""
    while rest and _sure(rest[0]).startswith("-"):
        option = rest.pop(0).text
        if option == "--":
            break
        if option in wrapper.valued:
            if not rest:
                raise UnclearError(f"{name!r} lacks a value for {option}")
            value = rest.pop(0).text
        else:
            value = _attached(name, wrapper, option)
        if name == "xargs" and option.startswith(("-I", "--replace")):
            mark = value
    rest = rest[wrapper.before :]
    while name == "env" and rest and "=" in rest[0].text:  # whatever stands before it
        rest.pop(0)
    if name == "xargs" and rest:  # what it reads is put in the place of the mark, or added at the end
        return _filled(rest, mark) if mark else [*rest, Word("", certain=False)]
    return rest


def _attached(name: str, wrapper: Wrapper, option: str) -> str:
    """The value in *option* itself, if it has one."""
    long, equals, value = option.partition("=")
    if option in wrapper.flags:
        return ""
    if equals and long in wrapper.valued:
        return value
    if option[:2] in wrapper.valued:
        return option[2:]
    raise UnclearError(f"the option {option} of {name!r} is not known here")
