"""Commands made ready to run: free, or enclosed by bubblewrap with its descriptors, its filter and its handshake."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import attrs

from . import bwrap, probe, seccomp
from .errors import SandboxError
from .limits import Limits
from .namespaced import Namespaced
from .process import Order, Process

ENTER = 'for group in $1; do echo $$ > "$group" || exit 125; done; shift; exec "$@"'
RUN = 'exec /bin/bash -c -- "$1"'
READY = 'echo ready >&{said}; exec {said}>&-; read -r go <&{go}; [ "$go" = go ] || exit 125; exec {go}<&-; unset go; '


def entering(groups: list[str]) -> tuple[str, ...]:
    """What has a process enter control *groups* and become the program whose words follow."""
    return ("/bin/sh", "-c", ENTER, "sh", " ".join(groups)) if groups else ()


def free(order: Order, command: str, limits: Limits) -> Process:
    """*command* without a sandbox."""
    script = limits.script(own_count=False) + RUN
    return Process(attrs.evolve(order, argv=(*order.argv, "/bin/bash", "-c", script, "bash", command)))


def enclosed(order: Order, command: str, limits: Limits, view: bwrap.View) -> Namespaced:
    """
    *command* in the sandbox that *view* describes.

    Raises:
        SandboxError: something in the way is not as it must be.
    """
    own, program = bwrap.own_files(view.network), probe.program(view.workspace)
    places = {str(path): identity(path) for path in (view.workspace, *view.sealed)}
    rules = seccomp.program(network=view.network, watched=order.watched_memory is not None)
    with ExitStack() as undo:
        try:
            filter_, *files = [_in_memory(content, undo) for content in (rules, *map(str.encode, own.values()))]
            (said, say), (hear, go) = _pipe(undo), _pipe(undo)
            say_again = os.dup(say)  # bubblewrap closes its own after the id
            undo.callback(os.close, say_again)
        except OSError as problem:
            raise SandboxError(f"it lacks descriptors ({problem.strerror})", "Run fewer commands at once.") from None
        script = READY.format(said=say_again, go=hear) + limits.script(own_count=True) + RUN
        around = bwrap.arguments(view, filter_, list(zip(files, own, strict=True)))
        argv = (program, "--info-fd", str(say), *around, "/bin/bash", "-c", script, "bash", command)
        taken = (filter_, *files, say, say_again, hear)
        whole = attrs.evolve(order, argv=(*order.argv, *argv), passed=taken)
        undo.pop_all()
        return Namespaced(whole, said=said, go=go, taken=taken, places=places)


def identity(path: Path) -> tuple[int, int]:
    """
    Device and number of what is at *path*, which leads there without a link.

    Raises:
        SandboxError: nothing is there, or a link is on the way.
    """
    try:
        fd = os.open(path, os.O_PATH)
    except OSError as problem:
        what = f"{str(path)!r} cannot be shown to it ({problem.strerror})"
        raise SandboxError(what, "Put a file or folder there again.") from None
    try:
        if os.readlink(f"/proc/self/fd/{fd}") != str(path):
            what = f"{str(path)!r} is, or lies behind, a link, which might lead anywhere"
            raise SandboxError(what, "Put a file or folder there instead.")
        found = os.fstat(fd)
        return found.st_dev, found.st_ino
    finally:
        os.close(fd)


def _in_memory(data: bytes, undo: ExitStack) -> int:
    """A descriptor that *data* is read from."""
    fd = os.memfd_create("cloudllm")
    undo.callback(os.close, fd)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _pipe(undo: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends
