"""
Limits on what a command uses: those of each process, and of all together.

Of each process: ``ulimit``, set inside the sandbox, where the count of processes is the sandbox's own.
Of all together: a control group, where this process may make one (usually as root); else a watch that
adds up their memory ten times a second.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from .errors import SandboxError

PAUSE = 0.1
"""Seconds between two looks at the memory."""

OWN_PROCESSES = 2
"""Bubblewrap's, beside the command's."""

OPEN_FILES = 1024
CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@attrs.frozen(kw_only=True)
class Limits:
    """What one command may use; None is no limit."""

    memory: int | None
    """Bytes: of each process's own memory, and of all together."""

    processes: int | None
    """Processes and threads at a time."""

    cpu: float | None
    """Seconds of processor time, for each process."""

    file_size: int | None
    """Bytes of each file that is written."""

    def script(self, *, own_count: bool) -> str:
        """The limits of each process, as shell commands. *own_count*: whether the sandbox counts its own processes."""
        found = {
            "c": 0,
            "n": OPEN_FILES,
            "d": self.memory and self.memory // 1024,
            "f": self.file_size and -(-self.file_size // 1024),
            "t": self.cpu and max(1, round(self.cpu)),
            "u": self.processes if own_count else None,
        }
        return "".join(f"ulimit -{flag} {value} || exit 125; " for flag, value in found.items() if value is not None)


@attrs.frozen
class Group:
    """A control group for one command; it is in several hierarchies where the kernel has several (version 1)."""

    folders: tuple[Path, ...]
    controls: frozenset[str]
    """Those it limits: ``pids``, ``memory``."""

    @classmethod
    def make(cls, limits: Limits) -> Group:
        """A group with those of *limits* that this process may set; perhaps none."""
        name, folders, controls = f"cloudllm-{os.getpid()}-{secrets.token_hex(8)}", list[Path](), set[str]()
        wanted = {"pids": limits.processes and limits.processes + OWN_PROCESSES, "memory": limits.memory}
        for control, value in wanted.items():
            for parent in _parents(control):
                if value is not None and _limit(parent / name, control, value):
                    controls.add(control)
                    folders.append(parent / name)
                    break
        return cls(tuple(dict.fromkeys(folders)), frozenset(controls))

    @property
    def entries(self) -> list[str]:
        """The files by which a process enters."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in it for lack of memory."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with suppress(OSError):
                    words = _words(folder / name)
                    return int(words[words.index("oom_kill") + 1]) > 0 if "oom_kill" in words else False
        return False

    async def remove(self) -> None:
        """Remove it, once its processes are dead; the kernel may take a moment to let go."""
        try:
            for attempt in range(50):
                if self._removed():
                    return
                await asyncio.sleep(0.001 * min(attempt, 20))
        except asyncio.CancelledError:  # the loop is about to close, so nobody will come back to this
            self._insist()
            raise

    def _removed(self) -> bool:
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()
        return not any(folder.exists() for folder in self.folders)

    def _insist(self) -> None:
        until = time.monotonic() + 0.5
        while not self._removed() and time.monotonic() < until:
            time.sleep(0.005)


def sweep() -> None:
    """Remove the groups of programs that were killed before they could."""
    for parent in {*_parents("pids"), *_parents("memory")}:
        for stale in parent.glob("cloudllm-*-*"):
            with suppress(OSError, ValueError):
                if not os.path.exists(f"/proc/{int(stale.name.split('-')[1])}"):
                    stale.rmdir()


def _parents(control: str) -> Iterator[Path]:
    """Where a group under *control* could be made, by what the kernel says of this process."""
    try:
        lines = OWN.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controls, path = line.split(":", 2)
        if control in controls.split(","):
            yield CGROUPS / control / path.lstrip("/")
        elif number == "0" and not controls:  # version 2: only where the control is handed down
            own = CGROUPS / path.lstrip("/")
            for folder in (own, own.parent):
                with suppress(OSError):
                    if folder.is_relative_to(CGROUPS) and control in _words(folder / "cgroup.subtree_control"):
                        yield folder


def _words(path: Path) -> list[str]:
    return path.read_text("utf-8").split()


def _limit(folder: Path, control: str, value: int) -> bool:
    made = not folder.exists()
    if not os.access(folder.parent / "cgroup.procs", os.W_OK):
        return False  # a process could not be moved from one to the other
    try:
        folder.mkdir(exist_ok=True)
        files = {"pids": ("pids.max",), "memory": ("memory.max", "memory.limit_in_bytes")}[control]
        (folder / next(name for name in files if (folder / name).exists())).write_text(str(value), "utf-8")
    except (OSError, StopIteration):
        if made:
            with suppress(OSError):
                folder.rmdir()
        return False
    for name, swap in (("memory.swap.max", 0), ("memory.memsw.limit_in_bytes", value), ("memory.oom.group", 1)):
        with suppress(OSError):  # not every kernel has them
            if control == "memory" and (folder / name).exists():
                (folder / name).write_text(str(swap), "utf-8")
    return True


def check_processes(limits: Limits, group: Group) -> None:
    """Raises: SandboxError: nothing would hold the number of processes, because root is exempt from ``ulimit -u``."""
    if limits.processes is not None and os.getuid() == 0 and "pids" not in group.controls:
        raise SandboxError(
            "the number of processes cannot be limited: root is exempt from ulimit, and no control group can be made",
            "Run as an ordinary user, or make /sys/fs/cgroup writable, or give up this limit with processes=None.",
        )


async def outgrown(pid: int, memory: int) -> None:
    """Return when *pid* and all below it hold more than *memory* bytes of their own, by looking again and again."""
    while sum(map(_own_memory, _tree(pid))) <= memory:  # noqa: ASYNC110  # the kernel tells nobody
        await asyncio.sleep(PAUSE)


def _tree(pid: int) -> Iterator[int]:
    waiting = [pid]
    while waiting:
        yield (one := waiting.pop())
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                waiting += map(int, _words(Path(f"/proc/{one}/task/{thread}/children")))


def _own_memory(pid: int) -> int:
    with suppress(OSError, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))) * 1024
    return 0
