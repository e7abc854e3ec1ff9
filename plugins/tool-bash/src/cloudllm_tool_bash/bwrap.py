"""
The arguments of bubblewrap: what a sandboxed command can see and touch.

Nothing is there unless it is put there: never ``/``, never ``/etc`` as a whole. The root is an empty
file system, sealed last; programs are read-only; the workspace alone keeps what is written to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

ID = "65534"
"""User and group inside, which are nobody's."""

NAMESPACES = (
    "--unshare-user", "--uid", ID, "--gid", ID, "--unshare-pid", "--unshare-ipc", "--unshare-uts",
    "--hostname", "sandbox", "--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL",
    "--die-with-parent", "--new-session",
)  # fmt: skip

SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Beside ``/usr``: links on most systems, folders on some."""

ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/mime.types")
ETC_NETWORK = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates",
    "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted",
)  # fmt: skip

OWN_FILES = {
    "/etc/passwd": f"agent:x:{ID}:{ID}::/tmp:/bin/bash\n",
    "/etc/group": f"agent:x:{ID}:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
"""Written for the sandbox; the host's name its users and machines."""

MASKED = (
    "kcore", "kallsyms", "kmsg", "kpagecount", "kpageflags", "kpagecgroup", "keys", "key-users", "cmdline",
    "config.gz", "iomem", "ioports", "modules", "slabinfo", "timer_list", "vmallocinfo", "sysrq-trigger", "sched_debug",
)  # fmt: skip
"""What ``/proc`` tells of the host, and not of the sandbox."""

GUARDED = (".git/hooks", ".git/config")
"""Of a workspace: what git runs on the host."""


@attrs.frozen(kw_only=True)
class View:
    """What one sandbox shows."""

    workspace: Path
    """Resolved. Bound at its own path, so that messages with paths in them are true outside too."""

    read_only: tuple[Path, ...] = ()
    guarded: tuple[Path, ...] = ()
    """Those of `GUARDED` that are there; see `guarded_in`."""

    network: bool = False
    scratch: int
    """Bytes that ``/tmp`` and ``/dev/shm`` may hold, each."""

    @property
    def outside(self) -> list[Path]:
        """What is shown for reading beyond the workspace."""
        return [path for path in self.read_only if not path.is_relative_to(self.workspace)]

    @property
    def sealed(self) -> list[Path]:
        """What cannot be changed in the workspace."""
        return [path for path in (*self.guarded, *self.read_only) if path.is_relative_to(self.workspace)]


def guarded_in(workspace: Path) -> tuple[Path, ...]:
    """
    Those of `GUARDED` that exist, unless a link leads to them.

    Asked once, before the first command: from then on they are mounts, which a command cannot replace
    by links; what a command makes later is not mounted, so it cannot choose what is.
    """
    paths = [workspace / name for name in GUARDED]
    return tuple(path for path in paths if path.exists() and path.resolve() == path)


def arguments(view: View, seccomp: int, files: Sequence[tuple[int, str]]) -> list[str]:
    """
    Bubblewrap's arguments, up to the command.

    Args:
        view: what to show.
        seccomp: the descriptor that the filter is read from.
        files: descriptors with the contents of `OWN_FILES`, and their paths.
    """
    return [
        *NAMESPACES,
        *(() if view.network else ("--unshare-net",)),
        *_system(view.network),
        *(part for fd, path in files for part in ("--ro-bind-data", str(fd), path)),
        *_processes_and_devices(view.scratch),
        *(part for path in view.outside for part in ("--ro-bind", str(path), str(path))),
        *_workspace(view),
        *("--chdir", str(view.workspace), "--remount-ro", "/", "--seccomp", str(seccomp), "--"),
    ]


def own_files(network: bool) -> dict[str, str]:
    """`OWN_FILES`, less what the host's network brings."""
    return {path: text for path, text in OWN_FILES.items() if not (network and path in ETC_NETWORK)}


def _system(network: bool) -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for path in SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    for path in (*ETC, *(ETC_NETWORK if network else ())):
        if os.path.exists(path):
            yield from ("--ro-bind", os.path.realpath(path), path)


def _processes_and_devices(scratch: int) -> Iterator[str]:
    yield from ("--proc", "/proc")
    for name in MASKED:
        if os.path.exists(f"/proc/{name}"):
            yield from ("--ro-bind", "/dev/null", f"/proc/{name}")
    # The host's root would be the owner of /proc/sys inside, and needs no capability to write there.
    yield from ("--remount-ro", "/proc", "--dev", "/dev")
    for path in ("/dev/shm", "/tmp"):  # noqa: S108  # the sandbox's own
        yield from ("--perms", "1777", "--size", str(scratch), "--tmpfs", path)
    yield from ("--remount-ro", "/dev")


def _workspace(view: View) -> Iterator[str]:
    """The workspace; what is sealed in it stays in its place, because the folders that lead there are mounts, too."""
    held = {folder for path in view.sealed for folder in path.parents if folder.is_relative_to(view.workspace)}
    for folder in sorted(held | {view.workspace}):
        yield from ("--bind", str(folder), str(folder))
    for path in view.sealed:
        yield from ("--ro-bind", str(path), str(path))
