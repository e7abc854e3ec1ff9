"""What is installed, by metadata alone: every offer of every distribution, and what is wrong with it."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs

from .errors import BrokenPluginError, near_miss

VERSION: Final = "0.1.0"
"""The kernel's version where its own metadata is not installed."""

Status: TypeAlias = Literal["ok", "blocked", "incompatible", "duplicate", "fault"]

_VALUE: Final = re.compile(r"\w[\w.]*(:\w[\w.]*)?\s*(\[.*\])?")
_REQUIREMENT: Final = re.compile(r"\s*([\w.-]+)\s*(?:\[.*?\])?\s*\(?([^;@)]*)[^;]*(.*)")
_CLAUSE: Final = re.compile(r"(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?[\w.+-]*")


@attrs.frozen(kw_only=True)
class Plugin:
    """An offer, as its distribution's metadata tells it."""

    kind: str
    name: str
    distribution: str
    version: str = ""
    needs: tuple[str, ...] = ()
    """What its distribution reaches for: ``network``, ``files``, ``processes``, ``secrets``."""

    api: str = ""
    """The versions of cloudllm-core it was built for, such as ``>=0.1,<0.2``; empty for any."""

    status: Status = "ok"
    problem: str = ""
    """Why the status is not ``ok``, and what to do."""

    def broken(self, problem: str, remedy: str = "Repair or uninstall it.") -> BrokenPluginError:
        return BrokenPluginError(self.kind, self.name, self.distribution, problem, remedy)


@attrs.define(eq=False)
class Offer:
    """A plugin on its way from its metadata to its class."""

    plugin: Plugin
    value: str = ""
    """Where its entry point points."""

    fault: BrokenPluginError | None = None
    cls: type[Any] | None = None
    """What is offered, once that is known."""


@functools.cache
def kernel_version() -> str:
    """The version of cloudllm-core."""
    from importlib import metadata

    try:
        return metadata.version("cloudllm-core")
    except metadata.PackageNotFoundError:
        return VERSION


def fits(version: str, wanted: str) -> bool:
    """
    Whether *version* is in the range *wanted*, by its dotted numbers; a suffix such as ``rc1`` does not count.

    Raises:
        ValueError: a range that cannot be read.
    """
    have, fit = _numbers(version), True
    for clause in filter(None, map(str.strip, wanted.split(","))):
        if not (match := _CLAUSE.fullmatch(clause)):
            raise ValueError(f"{clause!r} is not a range of versions")
        operator, digits, star = match.groups()
        want, parts = _numbers(digits), digits.count(".") + bool(star)
        same = have[:parts] == want[:parts] if star or operator == "~=" else have == want
        equal = {"==": same, "!=": not same, "~=": same and have >= want}
        order = {">=": have >= want, "<=": have <= want, ">": have > want, "<": have < want}
        fit = fit and (equal | order)[operator]
    return fit


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for found in re.findall(r"^[\d.]+", version) for number in found.split(".") if number]
    return (*numbers, *[0] * (8 - len(numbers)))


def normal(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def told(problem: BaseException) -> str:
    """An exception in one line."""
    return f"{type(problem).__name__}: {problem}".rstrip(": .")


def installed(path: Sequence[str] | None, kinds: Collection[str]) -> Iterator[Offer]:
    """Every offer on *path*; of a distribution that is there twice, the first counts, as for imports."""
    from importlib import metadata

    where: dict[str, Any] = {} if path is None else {"path": list(path)}
    seen: set[str] = set()
    for found in metadata.distributions(**where):
        try:
            if "[cloudllm." not in (found.read_text("entry_points.txt") or ""):
                continue
            if (name := normal(found.metadata["Name"])) not in seen:
                seen.add(name)
                yield from _offers(next(iter(metadata.distributions(name=name, **where))), kinds)
        except Exception as problem:  # noqa: BLE001 -- whatever a half-removed installation comes up with is told
            plugin = Plugin(kind="plugin", name="?", distribution=str(getattr(found, "_path", "a distribution")))
            yield Offer(plugin, fault=plugin.broken(f"has metadata that cannot be read ({told(problem)})"))


def _offers(found: Any, kinds: Collection[str]) -> Iterator[Offer]:
    entries = list(_entries(found.read_text("entry_points.txt") or ""))
    needs = tuple(sorted(name for kind, name, _ in entries if kind == "needs"))
    api = _api(found.requires or ())
    shared = Plugin(kind="", name="", distribution=found.metadata["Name"], version=found.version, needs=needs)
    for kind, name, value in entries:
        if kind != "needs":
            plugin = attrs.evolve(shared, kind=kind, name=name, api=api or "")
            yield Offer(plugin, value, _fault(plugin, value, api, kinds))


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind, name and value, line by line: the library's own reader gives up a whole file for one bad line."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[] ")
        elif line and line[0] not in "#;" and group.startswith("cloudllm."):
            name, _, value = line.partition("=")
            yield group.removeprefix("cloudllm."), name.strip(), value.strip()


def _api(requirements: Iterable[str]) -> str | None:
    read = [match.groups() for line in requirements if (match := _REQUIREMENT.match(line))]
    ranges = [span.strip() for name, span, marker in read if normal(name) == "cloudllm-core" and "extra" not in marker]
    return ",".join(filter(None, ranges)) if ranges else None


def _fault(plugin: Plugin, value: str, api: str | None, kinds: Collection[str]) -> BrokenPluginError | None:
    if plugin.kind not in kinds:
        remedy = near_miss(plugin.kind, [*kinds, "needs"]) or f"There are: {', '.join(kinds)}."
        problem = f"is in the entry-point group 'cloudllm.{plugin.kind}', and there is no such kind"
        return attrs.evolve(plugin, kind="plugin").broken(problem, remedy)
    if not plugin.name or not _VALUE.fullmatch(value):
        remedy = f'Write: {plugin.name or "name"} = "package.module"'
        return plugin.broken(f"has the entry point {value!r}, which names no module", remedy)
    if api is None:
        remedy = "Add cloudllm-core to its dependencies."
        return plugin.broken("does not say which cloudllm-core it was built for", remedy)
    try:
        fits("0", api)
    except ValueError:
        problem = f"was built for cloudllm-core {api}, which cannot be read"
        return plugin.broken(problem, "Write a range such as: cloudllm-core>=0.1,<0.2")
    return None
