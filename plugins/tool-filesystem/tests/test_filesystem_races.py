"""What happens between a check and a use, and between one change and another."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cloudllm_tool_filesystem import FileError, FileSystem, _files, _root

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "n.txt").write_text("SECRET")
    (tmp_path / "root" / "d").mkdir(parents=True)
    (tmp_path / "root" / "d" / "n.txt").write_text("inside")
    return tmp_path / "root"


def test_the_root_is_where_it_was_when_it_was_set_up(root: Path) -> None:
    """A link that somebody puts in its place, or above it, leads nowhere, and nothing is made behind it."""
    files, deep = FileSystem(root), FileSystem(root / "new" / "er")
    os.rename(root, root.parent / "kept")
    root.symlink_to("outside")

    for path in (".", "n.txt"):
        with pytest.raises(FileError) as refused:
            files.list_directory() if path == "." else files.read_file(path)
        assert "cannot be opened as the root: it is a link, not a directory. Only the user can" in str(refused.value)
    with pytest.raises(FileError):
        deep.write_file("n.txt", "text")
    assert {"n.txt": "SECRET"} == outside(root)


def test_a_link_to_the_root_is_followed_once(root: Path) -> None:
    """It is the user's own word: where it led when it was given is the root."""
    (root.parent / "link").symlink_to("root")
    files = FileSystem(root.parent / "link")
    (root.parent / "link").unlink()
    (root.parent / "link").symlink_to("outside")

    assert "inside" == files.read_file("d/n.txt")


def outside(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (root.parent / "outside").iterdir()}


@contextmanager
def swapping(root: Path) -> Iterator[None]:
    """Meanwhile, ``d`` and ``f.txt`` are now themselves, now links that lead out."""
    stop, ready = threading.Event(), threading.Event()
    problems: list[OSError] = []

    def insist(step: Callable[..., Any], *paths: Path) -> None:
        """Do *step*, clearing away a ``d`` that a tool made in the gap between two steps."""
        for turn in range(1_000):
            try:
                step(*paths)
                return
            except OSError as problem:
                if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY) or turn == 999:
                    raise
                shutil.rmtree(root / "d", ignore_errors=True)

    def put(content: Callable[[Path], Any]) -> None:
        content(root.parent / "next")
        os.replace(root.parent / "next", root / "f.txt")

    def swap() -> None:
        out, kept = root.parent / "outside", root.parent / "kept"
        try:
            while not stop.is_set():
                os.rename(root / "d", kept)
                insist(os.symlink, out, root / "d")
                put(lambda path: path.symlink_to(out / "n.txt"))
                os.unlink(root / "d")
                insist(os.rename, kept, root / "d")
                put(lambda path: path.write_text("inside"))
                ready.set()
        except OSError as problem:
            problems.append(problem)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        assert ready.wait(20), problems
        yield
    finally:
        stop.set()
        thread.join(20)
    assert [] == problems
    assert not thread.is_alive()


def test_a_link_swapped_in_never_leads_a_read_out(root: Path) -> None:
    """2,000 reads against a swapper, of a file and of a file in a folder: the secret is never read."""
    files, seen = FileSystem(root), set()
    with swapping(root):
        for turn in range(2_000):
            with suppress(FileError):
                seen.add(files.read_file(("d/n.txt", "f.txt")[turn % 2]))

    assert seen <= {"inside"}


def test_a_link_swapped_in_never_leads_a_change_out(root: Path) -> None:
    """600 changes against a swapper, each tool in turn: nothing outside is made, changed or deleted."""
    files, before = FileSystem(root), outside(root)
    changes: list[Callable[[], Any]] = [
        lambda: files.write_file("d/new.txt", "x"),
        lambda: files.append_file("f.txt", "x"),
        lambda: files.append_file("d/n.txt", "x"),
        lambda: files.delete_file("d/new.txt"),
        lambda: files.create_directory("d/sub/deep"),
        lambda: files.delete_directory("d/sub"),
    ]
    with swapping(root):
        for turn in range(600):
            with suppress(FileError):
                changes[turn % len(changes)]()

    assert before == outside(root)


@pytest.fixture
def once_checked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Have something happen right after the first check of a file, before it is opened."""

    def arrange(happen: Callable[[], None]) -> None:
        real, waiting = _files.check_file, [happen]

        def check_file(spot: Any, found: os.stat_result, **more: Any) -> None:
            real(spot, found, **more)
            if waiting:
                waiting.pop()()

        monkeypatch.setattr(_files, "check_file", check_file)

    return arrange


@pytest.mark.parametrize("tool", ["read_file", "append_file", "edit_file"])
def test_a_link_put_there_after_the_check_is_not_opened(root: Path, once_checked: Any, tool: str) -> None:
    """The very moment a checker by name would lose."""
    more: dict[str, Any] = {"append_file": {"content": "x"}, "edit_file": {"old": "S", "new": "x"}}

    def swap() -> None:
        (root / "d" / "n.txt").unlink()
        (root / "d" / "n.txt").symlink_to("../../outside/n.txt")

    once_checked(swap)
    with pytest.raises(FileError):
        getattr(FileSystem(root), tool)("d/n.txt", **more.get(tool, {}))

    assert {"n.txt": "SECRET"} == outside(root)


def test_a_write_replaces_a_link_put_there_after_the_check(root: Path, once_checked: Any) -> None:
    """The link goes, the file it pointed to stays."""

    def swap() -> None:
        (root / "d" / "n.txt").unlink()
        (root / "d" / "n.txt").symlink_to("../../outside/n.txt")

    once_checked(swap)
    FileSystem(root).write_file("d/n.txt", "new")

    assert {"n.txt": "SECRET"} == outside(root)
    assert "new" == (root / "d" / "n.txt").read_text()
    assert not (root / "d" / "n.txt").is_symlink()


def test_a_pipe_put_there_after_the_check_does_not_block(root: Path, once_checked: Any) -> None:
    """It is opened without waiting, looked at, and refused."""

    def swap() -> None:
        (root / "d" / "n.txt").unlink()
        os.mkfifo(root / "d" / "n.txt")

    once_checked(swap)
    said: list[str] = []
    opened = len(os.listdir("/dev/fd"))

    def read() -> None:
        try:
            FileSystem(root).read_file("d/n.txt")
        except FileError as problem:
            said.append(str(problem))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)

    assert opened == len(os.listdir("/dev/fd"))
    assert ["'d/n.txt' is a pipe, device or socket. Only ordinary files can be used."] == said


def _full(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["replace", "fsync", "fchmod"])
@pytest.mark.parametrize("change", ["write", "edit"])
def test_a_change_that_fails_leaves_the_old_file_and_nothing_else(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: str, change: str
) -> None:
    """At whatever step the disk gives up."""
    files = FileSystem(root)
    monkeypatch.setattr(os, step, _full)
    with pytest.raises(FileError) as caught:
        files.write_file("d/n.txt", "new") if change == "write" else files.edit_file("d/n.txt", "in", "out")

    assert str(caught.value).startswith("'d/n.txt' cannot be used: No space left on device.")
    assert {"n.txt": "inside"} == {path.name: path.read_text() for path in (root / "d").iterdir()}


def test_an_append_that_fails_halfway_leaves_the_old_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what was to be added is taken back."""
    real, calls = os.write, []

    def write(fd: int, data: memoryview) -> int:
        calls.append(len(data))
        return real(fd, data[:3]) if len(calls) == 1 else _full()

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(FileError):
        FileSystem(root).append_file("d/n.txt", " and more")

    assert [9, 6] == calls
    assert "inside" == (root / "d" / "n.txt").read_text()


def test_an_append_that_cannot_be_synced_is_taken_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Success is said only of what is on the disk."""
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(FileError):
        FileSystem(root).append_file("d/n.txt", " and more")

    assert "inside" == (root / "d" / "n.txt").read_text()


def test_what_replaces_a_private_file_is_private_from_the_first_byte(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else can open it before it has its mode."""
    (root / "d" / "n.txt").chmod(0o600)
    modes, real = [], os.fchmod

    def fchmod(fd: int, mode: int) -> None:
        modes.append(os.fstat(fd).st_mode & 0o777)
        real(fd, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    FileSystem(root).write_file("d/n.txt", "new")

    assert [0o600] == modes
    assert 0o600 == (root / "d" / "n.txt").stat().st_mode & 0o777


def test_until_it_is_whole_a_new_file_is_not_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is written, readers and listings see the old state."""
    files, real, seen = FileSystem(root), os.fsync, []

    def fsync(fd: int) -> None:
        seen.append((files.read_file("d/n.txt"), [entry["path"] for entry in files.list_directory("d")["entries"]]))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_file("d/n.txt", "new")

    assert [("inside", ["d/n.txt"])] == seen
    assert "new" == files.read_file("d/n.txt")


def test_parallel_edits_of_one_file_all_survive(root: Path) -> None:
    """Eight agents, each with its own tools over the same root, change 20 words each; none undoes another's."""
    words = [f"<{agent}:{turn}>" for agent in range(8) for turn in range(20)]
    (root / "n.txt").write_text(" ".join(words))

    def edit(agent: int) -> None:
        files = FileSystem(root)
        for turn in range(20):
            files.edit_file("n.txt", f"<{agent}:{turn}>", "done")

    threads = [threading.Thread(target=edit, args=(agent,)) for agent in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert " ".join(["done"] * len(words)) == (root / "n.txt").read_text()


def test_a_root_locked_by_another_program_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change gives up waiting; reading goes on."""
    monkeypatch.setattr(_root, "LOCK_SECONDS", 0.0)
    fd = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(FileError, match="has been locked by another program for 0 seconds. Try again later."):
            FileSystem(root).write_file("n.txt", "x")
        assert "inside" == FileSystem(root).read_file("d/n.txt")
    finally:
        os.close(fd)
