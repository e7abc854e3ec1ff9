"""
Scripts: what each role says and which tools it calls, line by line, as a TOML file.

::

    [[architect]]
    say = "I begin with the page."
    call = [{ tool = "write_file", arguments = { path = "index.html", content = "<!doctype html>" } }]

    [[architect]]
    say = "The page is there."

    [[architect]]
    fail = "the model is overloaded"
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cloudllm_core.errors import SettingsError, near_miss

KEYS = ("say", "call", "fail", "pause")


@attrs.frozen(kw_only=True)
class Call:
    """One tool call of a line."""

    tool: str
    arguments: Mapping[str, Any] = attrs.Factory(dict)


@attrs.frozen(kw_only=True)
class Line:
    """What a role does in one model call."""

    say: str = ""
    call: tuple[Call, ...] = ()
    fail: str | None = None
    """Fail with this message, as an overloaded provider does."""

    pause: float = 0.0
    """Seconds to think before the line is said."""


def read_script(path: Path) -> dict[str, tuple[Line, ...]]:
    """
    The lines of each role in the TOML file at *path*.

    Raises:
        SettingsError: there is no such file, it is not TOML, or a line is wrong; names the place.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise SettingsError(str(path), f"no readable file ({problem.strerror})", "a script") from problem
    except (ValueError, RecursionError) as problem:
        raise SettingsError(str(path), f"no TOML ({problem})", "a script") from problem
    script = {}
    for role, lines in tables.items():
        where = f"{path}: {role}"
        if not isinstance(lines, list):
            raise SettingsError(where, repr(lines), f"lines, each headed [[{role}]]")
        script[role] = tuple(_line(line, f"{where}[{index}]") for index, line in enumerate(lines))
    return script


def _line(table: Any, where: str) -> Line:
    if not isinstance(table, dict):
        raise SettingsError(where, repr(table), "a table")
    for key in table:
        if key not in KEYS:
            raise SettingsError(
                f"{where}.{key}", f"the unknown key {key!r}", f"one of {', '.join(KEYS)}", near_miss(key, KEYS)
            )
    say, fail, pause = table.get("say", ""), table.get("fail"), table.get("pause", 0.0)
    if not isinstance(say, str):
        raise SettingsError(f"{where}.say", repr(say), "text")
    if isinstance(pause, bool) or not isinstance(pause, (int, float)) or not 0 <= pause < math.inf:
        raise SettingsError(f"{where}.pause", repr(pause), "a number of seconds, 0 or more")
    if fail is not None and not isinstance(fail, str):
        raise SettingsError(f"{where}.fail", repr(fail), "a message")
    if fail is not None and ("say" in table or "call" in table):
        raise SettingsError(where, "fail beside say or call", "either: a call that fails brings no answer")
    if table.keys() <= {"pause"}:
        raise SettingsError(where, "nothing to do", "say, call or fail")
    calls = table.get("call", [])
    calls = [calls] if isinstance(calls, dict) else calls
    if not isinstance(calls, list):
        raise SettingsError(f"{where}.call", repr(calls), "a table or a list of tables")
    return Line(say=say, call=tuple(_call(c, f"{where}.call") for c in calls), fail=fail, pause=float(pause))


def _call(table: Any, where: str) -> Call:
    if not isinstance(table, dict) or not isinstance(table.get("tool"), str):
        raise SettingsError(
            where, repr(table), 'a table such as { tool = "read_file", arguments = { path = "a.txt" } }'
        )
    if unknown := sorted(set(table) - {"tool", "arguments"}):
        raise SettingsError(where, f"the unknown key {unknown[0]!r}", "tool and arguments")
    arguments = table.get("arguments", {})
    if not isinstance(arguments, dict):
        raise SettingsError(f"{where}.arguments", repr(arguments), "a table")
    return Call(tool=table["tool"], arguments=arguments)
