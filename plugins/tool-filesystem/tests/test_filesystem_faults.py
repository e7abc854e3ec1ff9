"""The faults of files, by their numbers: F108 paths, F109 a link swapped in, F110 what is no ordinary file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cloudllm_tool_filesystem import FileError, FileSystem

pytestmark = pytest.mark.usefixtures("way")

CHANGES: dict[str, tuple[str, ...]] = {
    "write_file": ("x",),
    "append_file": ("x",),
    "edit_file": ("S", "x"),
    "create_directory": (),
    "move_file": ("moved",),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "n.txt").write_text("SECRET")
    (tmp_path / "root" / "d").mkdir(parents=True)
    (tmp_path / "root" / "d" / "n.txt").write_text("inside")
    return tmp_path / "root"


def refusal(call: Callable[..., Any], *args: Any, **more: Any) -> str:
    with pytest.raises(FileError) as caught:
        call(*args, **more)
    return str(caught.value)


# -- F108 --


@pytest.mark.parametrize("target", ["../outside/new", "new", "d/new", "gone/new", "./../root/new"])
def test_f108_a_dangling_link_makes_nothing_where_it_points(root: Path, target: str) -> None:
    """Neither outside, as the original did, nor inside, where nobody would look for it."""
    (root / "link").symlink_to(target)
    for path in ("link", "link/deep/er"):
        for tool in ("write_file", "append_file", "create_directory"):
            refusal(getattr(FileSystem(root), tool), path, *CHANGES[tool])

    assert ["n.txt"] == os.listdir(root.parent / "outside")
    assert {"d", "link"} == set(os.listdir(root))
    assert ["n.txt"] == os.listdir(root / "d")


@pytest.mark.parametrize("tool", sorted(CHANGES))
def test_f108_a_linked_parent_leads_no_change_out(root: Path, tool: str) -> None:
    """Refused with a sentence that names the path, and nothing is changed."""
    (root / "link").symlink_to("../outside")
    for path in ("link/n.txt", "link/new/deep"):
        said = refusal(getattr(FileSystem(root), tool), path, *CHANGES[tool])
        assert "leads out of the root through a symbolic link. Use a path that stays below the root." in said

    assert {"n.txt": "SECRET"} == {path.name: path.read_text() for path in (root.parent / "outside").iterdir()}


def test_f108_moving_a_file_out_through_a_link_is_refused(root: Path) -> None:
    """The new path is judged as strictly as the old one."""
    (root / "link").symlink_to("../outside")
    files = FileSystem(root)

    assert "leads out" in refusal(files.move_file, "d/n.txt", "link/stolen.txt")
    assert "holds '..'" in refusal(files.move_file, "d/n.txt", "../stolen.txt")
    assert "inside" == files.read_file("d/n.txt")


def test_f108_no_error_tells_where_the_root_is_or_where_a_link_leads(root: Path) -> None:
    """What a model reads holds no path of the host."""
    (root / "out").symlink_to(root.parent / "outside")
    (root / "round").symlink_to("round")
    (root / "gone").symlink_to("../outside/gone")
    os.mkfifo(root / "pipe")
    files = FileSystem(root)
    said = [
        refusal(getattr(files, tool), path, *more)
        for path in ("out", "out/n.txt", "round", "round/x", "gone", "pipe", "none/n.txt", "d", "d/n.txt/x")
        for tool, more in {**CHANGES, "read_file": (), "delete_directory": ()}.items()
        if not (tool == "create_directory" and path in ("d", "none/n.txt"))
        if not (tool in ("write_file", "append_file", "move_file") and path == "none/n.txt")
        if not (tool == "delete_directory" and path == "d")
    ]
    later = FileSystem(root / "later")
    os.mkfifo(root / "later")
    said.append(refusal(later.list_directory))
    said.append(refusal(FileSystem(root / "none", read_only=True).list_directory))

    assert [] == [sentence for sentence in said if str(root.parent) in sentence or "outside" in sentence]


# -- F109 --


@contextmanager
def swapper(root: Path) -> Iterator[None]:
    """Meanwhile another process swaps ``d`` and a link that leads out, as fast as it can."""
    program = Path(__file__).with_name("swapper.py")
    with subprocess.Popen(
        [sys.executable, str(program), str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            assert "swapping\n" == process.stdout.readline()
            yield
        finally:
            process.communicate()
    assert process.returncode == 0


def try_all(read: Callable[[str], str], opens: int) -> Counter[str]:
    """What *opens* tries came to."""
    seen: Counter[str] = Counter()
    for _ in range(opens):
        try:
            seen[read("d/n.txt")] += 1
        except (FileError, OSError):
            seen["refused"] += 1
    return seen


@pytest.mark.parametrize("opens", [2_000, pytest.param(20_000, marks=pytest.mark.soak)])
def test_f109_a_link_swapped_in_by_another_process_leaks_nothing(root: Path, opens: int) -> None:
    """Reads against a swapper: some give the file, some are refused, none gives the secret."""
    files = FileSystem(root)
    with swapper(root):
        seen = try_all(files.read_file, opens)
        while not seen["inside"]:  # a busy machine may not let the swapper go on
            seen += try_all(files.read_file, opens)

    assert {"inside", "refused"} >= set(seen)
    assert seen.total() >= opens


@pytest.mark.soak
def test_f109_the_swapper_is_fast_enough_to_beat_a_check_by_name(root: Path, way: str) -> None:
    """Done as most do it, resolve, compare, open, the secret comes out: so the test above can fail."""
    if way == "walk":
        pytest.skip("neither way is used here, so once is enough")

    def read(path: str) -> str:
        real = os.path.realpath(root / path)
        if not real.startswith(str(root)):
            raise FileError(path, "leads out")
        return (root / path).read_text()

    with swapper(root):
        seen = next((seen for _ in range(200) if (seen := try_all(read, 1_000))["SECRET"]), Counter[str]())

    assert seen["SECRET"] > 0


def test_f109_listings_and_searches_against_a_swapper_show_nothing_outside(root: Path) -> None:
    """Neither names nor lines of what the link leads to."""
    (root.parent / "outside" / "hidden.txt").write_text("SECRET")
    files, shown = FileSystem(root), []
    with swapper(root):
        for _ in range(200):
            shown.append(str(files.list_directory(recursive=True)))
            shown.append(str(files.search_files("SECRET", contents=True)["matches"]))

    assert [] == [text for text in shown if "hidden" in text or "SECRET" in text]


# -- F110 --


@pytest.mark.parametrize("linked", [False, True])
def test_f110_a_pipe_is_refused_without_waiting(root: Path, linked: bool) -> None:
    """Directly or through a link."""
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("pipe")
    said: list[str] = []
    path = "link" if linked else "pipe"
    thread = threading.Thread(target=lambda: said.append(refusal(FileSystem(root).read_file, path)), daemon=True)
    thread.start()
    thread.join(20)

    assert [f"'{path}' is a pipe, device or socket. Only ordinary files can be used."] == said


def test_f110_links_of_proc_are_not_followed() -> None:
    """What the kernel makes up leads out of every root."""
    if not Path("/proc/self/root").exists():
        pytest.skip("/proc is Linux's own")
    files = FileSystem("/proc", read_only=True)
    for path in ("self/root/etc/passwd", "self/cwd/x", "self/exe", "self/fd/0", "self/root"):
        refusal(files.read_file, path)
    assert "Name:" in files.read_file("self/status")


@pytest.mark.parametrize("linked", [False, True])
def test_f110_a_hard_link_out_is_not_written_through(root: Path, linked: bool) -> None:
    """The kernel's `openat2` does not stop them; the number of names does."""
    os.link(root.parent / "outside" / "n.txt", root / "same.txt")
    (root / "link").symlink_to("same.txt")
    files, path = FileSystem(root), "link" if linked else "same.txt"
    for tool in ("write_file", "append_file", "edit_file"):
        assert "has a second name elsewhere (a hard link)" in refusal(getattr(files, tool), path, *CHANGES[tool])

    assert "SECRET" == (root.parent / "outside" / "n.txt").read_text()


def test_f110_a_sparse_file_of_ten_gigabytes_is_refused_and_can_be_read_in_parts(root: Path) -> None:
    """Its size is looked at before anything is read."""
    with (root / "big").open("wb") as big:
        big.seek(10 * 2**30)
        big.write(b"the end")
    files = FileSystem(root)

    assert "holds 10,737,418,247 bytes, more than the 10,485,760 allowed" in refusal(files.read_file, "big")
    assert "the end" == files.read_file("big", offset=10 * 2**30)
    assert files.search_files("end", contents=True)["skipped"] == 1


def test_f110_a_write_puts_a_new_file_in_the_place_of_the_old(root: Path) -> None:
    """Whoever has the old one open goes on reading it whole."""
    with (root / "d" / "n.txt").open() as old:
        FileSystem(root).write_file("d/n.txt", "new")
        assert "inside" == old.read()
    assert "new" == (root / "d" / "n.txt").read_text()
