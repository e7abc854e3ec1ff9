"""
Team files: TOML that describes an orchestration. Whatever is wrong in one is said with its name.

Paths in a team file are relative to it, so work with one happens in its folder: `Team.folder`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cloudllm_core import Orchestration, Registry
from cloudllm_core.errors import CloudLLMError, PluginError, SettingsError, SetupError, near_miss

KEYS = {
    "mode": "mode",
    "provider": "model",
    "tool_protocol": "tools",
    "context_strategy": "strategy",
    "event_sink": "sinks",
}
"""Under which key of a team file a kind of plugin is named."""


@attrs.define(eq=False)
class TeamFileError(SetupError):
    """A team file cannot be read, or what it asks for cannot be had."""

    place: str
    """The file, and as far as known the line or the key."""

    problem: str
    says = "{self.place}: {self.problem}"


@attrs.frozen
class Team:
    """A team file, read."""

    name: str
    """The file as the user called it."""

    folder: Path
    settings: Mapping[str, Any]
    prompt: str | None
    """The prompt that the file brings along, if it does."""

    @property
    def names_sinks(self) -> bool:
        return "sinks" in self.settings

    def prompt_of(self, word: str | None) -> str | None:
        """The prompt that *word* of the command line stands for (``-``: standard input), else the file's."""
        return sys.stdin.read() if word == "-" else self.prompt if word is None else word

    def build(self, registry: Registry, sinks: Sequence[str] = ()) -> Orchestration:
        """
        The orchestration that the file describes; the working directory must be its folder.

        Raises:
            SettingsError, TeamFileError: with the file's name in front.
        """
        try:
            return Orchestration.from_settings(self.settings, registry=registry, sinks=sinks)
        except SettingsError as error:
            if not error.hint and error.where in self.settings:
                error.hint = near_miss(error.where, ["prompt"])  # a key that the kernel does not know of
            error.where = f"{self.name}: {error.where}"
            raise
        except CloudLLMError as error:
            place = ": ".join([self.name, *_places(error, self.settings)])
            raise TeamFileError(place, str(error)) from error

    def without_sinks(self) -> Team:
        """The same team with nobody watching."""
        return attrs.evolve(self, settings={key: value for key, value in self.settings.items() if key != "sinks"})


def read_team(file: str) -> Team:
    """
    Read the team file *file*.

    Raises:
        TeamFileError: there is none, or it is not TOML. SettingsError: its prompt or its sinks are no such thing.
    """
    path = Path(file)
    settings = _parsed(file, _text(file, path))
    prompt = settings.pop("prompt", None)
    if prompt is not None and not isinstance(prompt, str):
        raise SettingsError(f"{file}: prompt", repr(prompt), "text")
    if not isinstance(settings.get("sinks", []), list):
        expected = 'a list, such as ["console"]'
        raise SettingsError(f"{file}: sinks", repr(settings["sinks"]), expected)
    return Team(file, path.resolve().parent, settings, prompt)


def _text(file: str, path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        there = [str(found) for found in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        hint = near_miss(file, there) or "Give the name of a team file, a TOML file that describes agents and a mode."
        raise TeamFileError(file, f"there is no such file. {hint}") from None
    except OSError as problem:
        raise TeamFileError(file, f"it cannot be read ({problem.strerror}).") from problem
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise TeamFileError(f"{file}, line {line}", "found bytes that are not UTF-8, expected TOML.") from problem


def _parsed(file: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        what, _, where = str(problem).partition(" (at ")
        numbers = re.findall(r"\d+", where)
        lines = text.split("\n")
        line, column = numbers if len(numbers) == 2 else (len(lines), len(lines[-1]) + 1)
        place = f"{file}, line {line}, column {column}"
        raise TeamFileError(place, f"this is not TOML: {what[:1].lower()}{what[1:]}.") from problem


def _places(error: CloudLLMError, settings: Mapping[str, Any]) -> list[str]:
    """The key under which the file names the plugin that *error* is about; at most one."""
    if not isinstance(error, PluginError):
        return []
    kind, name = getattr(error, "kind", ""), getattr(error, "name", "")
    found = (
        place
        for place, word in _words(settings)
        if KEYS.get(kind) in re.split(r"[.\[]", place) and (word == name or word.startswith(f"{name}:"))
    )
    return [place for place in [next(found, "")] if place]


def _words(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in *value*, and where it stands."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _words(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for nth, item in enumerate(value):
            yield from _words(item, f"{place}[{nth}]")
