"""
A place to run commands in that they cannot get out of: what it allows, and how one is run there.

`Sandbox` is useful by itself; `Bash` is one that agents may use.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from . import bwrap, probe
from .errors import SandboxError
from .launch import enclosed, entering, free
from .limits import Group, Limits, check_processes, sweep
from .process import Order, Result, insist

Tier: TypeAlias = Literal["bubblewrap", "none"]
"""How commands are held: in namespaces behind a filter of system calls; or not at all."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LONGEST_COMMAND = 100_000
"""Bytes; the kernel takes no argument longer than 128 KiB."""

FEEDBACK = 4_000
"""Characters of a check's output that its feedback quotes."""

MOST_EVIDENCE = 20_000

LEAST = 16 * 2**20
"""Bytes of memory that the sandbox itself needs to begin."""

OUT_OF_MEMORY = "Something in it was killed: together it held more than {:,} bytes of memory."


def _real(path: str | os.PathLike[str]) -> Path:
    return Path(path).expanduser().resolve()


def _places(paths: Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    if isinstance(paths, str):
        raise TypeError(f"read_only must be a list of paths, not {paths!r}")
    return tuple(Path(path).expanduser().absolute() for path in paths)


SYSTEM = ("/boot", "/dev", "/etc", "/proc", "/sys", "/usr", "/var/lib")
"""Folders that are no workspace, nor hold one."""

SHARED = ("/home", "/run")
"""Folders that are none, but may hold one."""


def _not_too_much(_: object, __: object, workspace: Path) -> None:
    """Raises: ValueError: *workspace* would open the system, or all that a person has."""
    shared = [Path(path).resolve() for path in (*SHARED, tempfile.gettempdir(), os.path.expanduser("~"))]
    for place in (*map(Path, SYSTEM), *shared):
        if place.is_relative_to(workspace):
            what = "is a folder of the system" if place == workspace else f"would hold {str(place)!r}"
            raise ValueError(f"the workspace {str(workspace)!r} {what}; choose a folder of its own")
    if workspace.exists() and not workspace.is_dir():
        raise ValueError(f"the workspace {str(workspace)!r} is no folder")
    for system in map(Path, SYSTEM):
        if workspace.is_relative_to(system):
            raise ValueError(f"the workspace {str(workspace)!r} lies in {str(system)!r}; choose a folder elsewhere")


_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*").fullmatch


def _plain_environment(_: object, __: object, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not _VARIABLE(name) or "\0" in value:
            raise ValueError(f"the environment variable {name!r} must have a plain name, and a text for its value")


def _known_tier(_: object, __: object, tier: str) -> None:
    if tier not in ("bubblewrap", "none"):
        raise ValueError(f"sandbox is {tier!r}; it may be 'bubblewrap', or 'none' for no sandbox at all")


def _positive(_: object, field: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{field.name} must be more than 0, and not {value!r}")


def _enough(_: object, __: object, memory: int | None) -> None:
    if memory is not None and not memory >= LEAST:
        raise ValueError(f"memory must be at least {LEAST} bytes, and not {memory!r}")


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    return dict(given)


@attrs.define(eq=False)
class Sandbox:
    """
    Runs commands that can change *workspace*, and nothing else.

    Needs Linux and bubblewrap 0.8 or later. What it takes is tried once, before the first command, by really
    running it; `SandboxError` says what is missing. There is no silent fallback to anything weaker.
    """

    workspace: Path = attrs.field(converter=_real, validator=_not_too_much)
    """The folder that commands run in and may change; made on first use if missing. Links to it are followed now."""

    sandbox: Tier = attrs.field(default="bubblewrap", kw_only=True, validator=_known_tier)
    """``none`` runs commands as you, with all that you may do."""

    timeout: float = attrs.field(default=30.0, kw_only=True, validator=_positive)
    """Seconds a command may take."""

    max_output: int = attrs.field(default=10 * 2**20, kw_only=True, validator=_positive)
    """Bytes that a command may write to each of its two streams; more, and it is stopped."""

    tail: int = attrs.field(default=32_000, kw_only=True, validator=_positive)
    """Bytes of each stream that are given back: the last ones."""

    network: bool = attrs.field(default=False, kw_only=True)
    """Whether commands use the host's network, its own services included."""

    environment: Mapping[str, str] = attrs.field(
        factory=dict[str, str], kw_only=True, repr=False, converter=_environment, validator=_plain_environment
    )
    """Variables beside PATH, HOME, LANG and TERM; nothing is taken from this process."""

    read_only: tuple[Path, ...] = attrs.field(default=(), kw_only=True, converter=_places)
    """Further files and folders that commands may read; below the workspace, ones that they may not change."""

    memory: int | None = attrs.field(default=2 * 2**30, kw_only=True, validator=_enough)
    """Bytes for a command and all it starts; None is no limit."""

    processes: int | None = attrs.field(default=256, kw_only=True, validator=_positive)
    """Processes and threads at a time; None is no limit."""

    cpu: float | None = attrs.field(default=300.0, kw_only=True, validator=_positive)
    """Seconds of processor time for each process; None is no limit."""

    file_size: int | None = attrs.field(default=2**30, kw_only=True, validator=_positive)
    """Bytes of each file that is written; None is no limit."""

    scratch: int = attrs.field(default=256 * 2**20, kw_only=True, validator=_positive)
    """Bytes that ``/tmp`` may hold, which is empty at the beginning of each command."""

    _sound: bool = attrs.field(default=False, init=False, repr=False)
    _guarded: tuple[Path, ...] = attrs.field(default=(), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # Now, while no command has put a link anywhere.
        self.read_only = tuple(map(self._place, self.read_only))

    def _place(self, path: Path) -> Path:
        """*path* as it is seen inside: in the workspace without links on the way, elsewhere as it was given."""
        real = path.parent.resolve() / path.name
        return real if real.is_relative_to(self.workspace) else path

    async def run(
        self,
        command: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # it is the command's, which is killed by it
        environment: Mapping[str, str] | None = None,
    ) -> Result:
        """
        Run *command* in bash. When this returns or raises, all that it started is dead.

        Args:
            command: as for ``bash -c``.
            timeout: seconds, if fewer than the sandbox's own.
            environment: further variables, for this command.

        Raises:
            SandboxError: it was not run, because the sandbox cannot be had.
        """
        command = fit(command)
        await self.prove()
        return await self._run(
            command,
            min(timeout or self.timeout, self.timeout),
            {name: _writable(value) for name, value in (environment or {}).items()},
        )

    async def prove(self) -> None:
        """
        Try, the first time, whether the sandbox holds, by running it.

        Raises:
            SandboxError: it does not, or cannot be had.
        """
        if self._sound:
            return
        try:
            self.workspace.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            what = f"the workspace {str(self.workspace)!r} cannot be made ({problem.strerror})"
            raise SandboxError(what, "Choose another folder.") from problem
        sweep()
        if self.sandbox == "bubblewrap":
            self._guarded = bwrap.guarded_in(self.workspace)
            await probe.check(self.workspace, lambda script: self._run(script, probe.SECONDS, {}))
        elif sys.platform == "win32":
            raise SandboxError("bash and its limits are not to be had on Windows", "Run this in Linux, perhaps in WSL.")
        self._sound = True

    def check(self, command: str, *, timeout: float | None = None) -> Callable[[str, str], Awaitable[bool | str]]:
        """
        A judge of work: *command* accepts by exit code 0, else the end of what it wrote says why not.

        For ``RalphTask(..., check=sandbox.check("pytest -q"))``, which gives it a task's id and the evidence
        for it; the command finds them as ``$TASK_ID`` and ``$EVIDENCE``.

        Args:
            command: the user's own, so no list holds for it.
            timeout: seconds, if fewer than the sandbox's own.

        Raises:
            SandboxError: when it is called, and the sandbox cannot be had.
        """

        async def judge(task_id: str, evidence: str) -> bool | str:
            about = {"TASK_ID": task_id.replace("\0", ""), "EVIDENCE": evidence.replace("\0", "")[:MOST_EVIDENCE]}
            result = await self.run(command, timeout=timeout, environment=about)
            said = "\n".join(filter(None, (result.stdout.strip(), result.stderr.strip(), result.notice)))
            return (
                result.exit_code == 0 or f"{command!r} gave exit code {result.exit_code}.\n{said[-FEEDBACK:]}".strip()
            )

        judge.__qualname__ = f"check {command!r}"
        return judge

    async def _run(self, command: str, seconds: float, environment: Mapping[str, str]) -> Result:
        limits = Limits(memory=self.memory, processes=self.processes, cpu=self.cpu, file_size=self.file_size)
        group = Group.make(limits)
        try:
            order = Order(
                argv=entering(group.entries),
                environment={**self._environment(), **environment},
                folder=str(self.workspace) if self.sandbox == "none" else "/",
                timeout=seconds,
                max_output=self.max_output,
                tail=self.tail,
                watched_memory=None if "memory" in group.controls else self.memory,
            )
            if self.sandbox == "none":
                process = free(order, command, limits)
            else:
                check_processes(limits, group)
                process = enclosed(order, command, limits, self._view())
            result = await process.run()
            if group.out_of_memory and not result.notice:
                return attrs.evolve(result, notice=OUT_OF_MEMORY.format(self.memory))
            return result
        finally:
            await insist(group.remove())

    def _view(self) -> bwrap.View:
        return bwrap.View(
            workspace=self.workspace,
            read_only=self.read_only,
            guarded=tuple(filter(Path.exists, self._guarded)),
            network=self.network,
            scratch=self.scratch,
        )

    def _environment(self) -> dict[str, str]:
        home = "/tmp" if self.sandbox == "bubblewrap" else str(self.workspace)  # noqa: S108  # the sandbox's own
        return {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8", "TERM": "dumb", **self.environment}


def fit(command: str) -> str:
    """*command* as it can be handed over. Raises: SandboxError: it is too long, or holds what no argument can."""
    command = _writable(command)
    if len(command.encode()) > LONGEST_COMMAND or "\0" in command:
        problem = f"a command may have {LONGEST_COMMAND:,} bytes, and none of them zero"
        raise SandboxError(problem, "Write a long script into a file and run that.")
    return command


def _writable(text: str) -> str:
    """*text* without halves of characters, which no encoding takes."""
    return text.encode("utf-8", "replace").decode()
