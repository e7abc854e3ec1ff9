"""No path leads out of the root: what is refused as text, and what is refused on the way."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudllm_tool_filesystem import FileError, FileSystem, _root

pytestmark = pytest.mark.usefixtures("way")

MORE: dict[str, dict[str, Any]] = {
    "read_file": {},
    "write_file": {"content": "x"},
    "append_file": {"content": "x"},
    "edit_file": {"old": "a", "new": "b"},
    "list_directory": {},
    "create_directory": {},
    "move_file": {"new_path": "m"},
    "delete_file": {},
    "delete_directory": {},
    "file_info": {},
    "file_exists": {},
}

CORPUS = {
    "holds '..'": [
        "..",
        "../",
        "../x",
        "../../etc/passwd",
        "../../../../../../../../etc/passwd",
        "a/..",
        "a/../..",
        "a/../../x",
        "a/b/../../../x",
        "./..",
        "./../x",
        "a/./../x",
        "a/..//x",
        "../root/x",
        "..;/../x",
        ".../../x",
        "a b/../x",
        "é/../x",
    ],
    "is an absolute path": [
        "/",
        "//",
        "/etc/passwd",
        "//etc/passwd",
        "///etc/passwd",
        "/..",
        "/./x",
        "/dev/zero",
        "/proc/self/root/etc/passwd",
        "/proc/self/environ",
        "/~/x",
        "C:/Windows/win.ini",
        "c:x",
    ],
    "holds a backslash": ["..\\x", "..\\..\\etc\\passwd", "a\\b", "\\", "\\\\host\\share", "C:\\Windows", "a/..\\x"],
    "holds a name that begins with '~'": ["~", "~/x", "~root/.ssh/id_rsa", "~+", "a/~/x", "a/~root"],
    "holds the character U+0000, which no path may": ["\0", "a\0", "a\0.md", "../x\0.md", "/etc/passwd\0"],
    "holds the character U+000A, which no path may": ["\n", "a\nb"],
    "holds the character U+001B, which no path may": ["\x1b[2Ja"],
    "holds the character U+007F, which no path may": ["a\x7f"],
    "holds the character U+202E, which no path may": ["a\u202efdp.md"],
    "holds the character U+D800, which no path may": ["\ud800"],
    "holds the character U+DC2F, which no path may": ["a\udc2fb"],
    "has a '/' too many": ["a//b", "a/", "a/b//", "./", ".//x", "file:///etc/passwd"],
    "is an empty path": [""],
    "holds a name longer than 255 bytes": ["n" * 256, "a/" + "é" * 128],
    "is longer than 1024 bytes": ["a/" * 30 + "n" * 1000],
    "is more than 64 folders deep": ["a/" * 64 + "x"],
}
PATHS = [(path, sentence) for sentence, paths in CORPUS.items() for path in paths]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "x").write_text("outside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("outside")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").mkdir()
    return tmp_path / "root"


def everything(folder: Path) -> dict[str, str]:
    """All names below *folder*, with what ordinary files hold."""
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else "" for p in sorted(folder.rglob("*"))}


def refusal(call: Callable[..., Any], *args: Any, **more: Any) -> str:
    with pytest.raises(FileError) as caught:
        call(*args, **more)
    return str(caught.value)


def in_time(call: Callable[[], Any]) -> Any:
    """What *call* gives, in a thread that may be left behind if it hangs."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "the call hangs"
    return results[0]


def test_the_corpus_has_sixty_paths_and_more() -> None:
    """The corpus is not thinned out by accident."""
    assert len({path for path, _ in PATHS}) == len(PATHS) >= 60


@pytest.mark.parametrize(("sentence", "paths"), CORPUS.items())
def test_a_path_that_could_lead_out_is_refused_by_every_tool(root: Path, sentence: str, paths: list[str]) -> None:
    """Nothing is clamped or mended: each tool refuses, says why, and changes nothing in or outside the root."""
    files, before = FileSystem(root), everything(root.parent)
    for path in paths:
        for tool, more in MORE.items():
            assert sentence in refusal(getattr(files, tool), path, **more)
        assert sentence in refusal(files.search_files, "s", path)
        assert before == everything(root.parent)


def test_a_refusal_names_the_path_the_cause_and_the_remedy() -> None:
    """The sentence is one a model can act upon; a monstrous path is not repeated whole."""
    files = FileSystem("never-made")

    assert "'../x' holds '..'. Paths begin at the root and only lead down from it." == refusal(files.read_file, "../x")
    assert "'src/' has a '/' too many. Write 'src' instead." == refusal(files.list_directory, "src/")
    assert len(refusal(files.read_file, "n" * 100_000)) < 250
    assert not Path("never-made").exists()


@pytest.mark.parametrize(
    "path", ["%2e%2e/x", "..x", "...", "．．/x", "a..b", ".hidden", "-rf", "a b", "日本/é.txt", "$HOME"]
)
def test_what_only_looks_odd_is_a_plain_name_below_the_root(root: Path, path: str) -> None:
    """Nothing decodes or expands a name, so it stays where it is written."""
    files = FileSystem(root)
    files.write_file(path, "inside")

    assert "inside" == (root / path).read_text() == files.read_file(path)
    assert "outside" == (root.parent / "x").read_text()


def test_a_dot_is_the_place_it_stands_at(root: Path) -> None:
    """`./a` is `a`: models like to write it, and it leads nowhere."""
    files = FileSystem(root)
    files.write_file("./a/./n.txt", "text")

    assert "text" == files.read_file("a/n.txt")


@pytest.mark.parametrize("path", [".", "", "./", "a/..", "././.", "./.", "..", "/", "a/../", "../root"])
def test_the_root_cannot_be_deleted_or_overwritten(root: Path, path: str) -> None:
    """However it is spelt."""
    files = FileSystem(root)
    for tool in ("delete_directory", "delete_file", "write_file", "append_file", "edit_file"):
        refusal(getattr(files, tool), path, **MORE[tool])

    assert (root / "a").is_dir()
    assert "'.' is the root itself. Name something below it." == refusal(files.delete_directory, ".")


OUT = ("../outside/secret.txt", "../outside/new.txt", "../outside", "..", "a/../..", "/", "/proc/self/root")
ITSELF = {"delete_directory": "is not a directory", "move_file": "is a symbolic link"}
"""The tools that look at a link itself."""


@pytest.mark.parametrize("tool", sorted(set(MORE) - {"delete_file"}))
def test_a_link_that_leads_out_is_refused(root: Path, tool: str) -> None:
    """Live or dangling, to a file or a folder: the original wrote through dangling ones."""
    files = FileSystem(root)
    for target in OUT:
        (root / "link").symlink_to(target)
        before = everything(root.parent)
        for path in ("link", "./link"):
            said = refusal(getattr(files, tool), path, **MORE[tool])
            assert ITSELF.get(tool, "leads out of the root through a symbolic link") in said
        assert "'..'" in refusal(getattr(files, tool), "a/../link", **MORE[tool])
        assert before == everything(root.parent)
        (root / "link").unlink()


@pytest.mark.parametrize("tool", sorted(MORE))
def test_an_absolute_link_leads_out_even_if_it_ends_below(root: Path, tool: str) -> None:
    """It begins outside, and where the root lies is not for a link to know."""
    (root / "link").symlink_to(root / "a")
    (root / "a" / "n.txt").write_text("inside")

    assert "leads out of the root" in refusal(getattr(FileSystem(root), tool), "link/n.txt", **MORE[tool])


@pytest.mark.parametrize("tool", sorted(MORE))
def test_a_link_on_the_way_out_is_refused(root: Path, tool: str) -> None:
    """A parent that leads out leads nowhere, for files that exist and for new ones."""
    (root / "link").symlink_to("../outside")
    files, before = FileSystem(root), everything(root.parent)
    for path in ("link/secret.txt", "link/new.txt", "link/new/deep.txt"):
        said = refusal(getattr(files, tool), path, **MORE[tool])
        assert said.startswith("'link")
        assert said.endswith("leads out of the root through a symbolic link. Use a path that stays below the root.")

    assert before == everything(root.parent)


def test_listing_and_searching_pass_links_by(root: Path) -> None:
    """A link is listed as one; what it points to is neither listed nor searched."""
    (root / "link").symlink_to("../outside")
    (root / "file").symlink_to("../outside/secret.txt")
    files = FileSystem(root)

    assert [("a", "directory"), ("file", "link"), ("link", "link")] == [
        (entry["path"], entry["kind"]) for entry in files.list_directory(recursive=True)["entries"]
    ]
    assert [] == files.search_files("secret")["matches"]
    assert [] == files.search_files("outside", contents=True)["matches"]


def test_deleting_a_folder_deletes_links_and_not_what_they_point_to(root: Path) -> None:
    """What is outside stays."""
    (root / "a" / "link").symlink_to("../../outside")
    (root / "a" / "b").mkdir()
    (root / "a" / "b" / "file").symlink_to(root.parent / "x")
    FileSystem(root).delete_directory("a")

    assert [] == list(root.iterdir())
    assert "outside" == (root.parent / "x").read_text() == (root.parent / "outside" / "secret.txt").read_text()


def test_a_root_may_itself_be_reached_through_a_link(root: Path) -> None:
    """The root is the user's own word."""
    (root.parent / "way").symlink_to("root")
    FileSystem(root.parent / "way").write_file("n.txt", "text")

    assert "text" == (root / "n.txt").read_text()


@pytest.mark.parametrize("tool", ["read_file", "write_file", "append_file", "edit_file", "delete_file"])
def test_a_pipe_is_refused_without_waiting(root: Path, tool: str) -> None:
    """Opening a pipe nobody writes to would wait for ever."""
    os.mkfifo(root / "pipe")
    files = FileSystem(root)

    expected = "'pipe' is a pipe, device or socket. Only ordinary files can be used."
    assert expected == in_time(lambda: refusal(getattr(files, tool), "pipe", **MORE[tool]))


def test_devices_and_sockets_are_refused() -> None:
    """Only ordinary files are read."""
    assert "'zero' is a pipe, device or socket" in refusal(FileSystem("/dev", read_only=True).read_file, "zero")
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{short}/s")
        assert "'s' is a pipe, device or socket" in refusal(FileSystem(short).read_file, "s")


@pytest.mark.parametrize("tool", ["write_file", "append_file", "edit_file"])
def test_a_file_with_a_second_name_is_not_changed(root: Path, tool: str) -> None:
    """A hard link may be somebody else's file outside the root."""
    os.link(root.parent / "x", root / "same.txt")
    said = refusal(getattr(FileSystem(root), tool), "same.txt", **MORE[tool])

    expected = "'same.txt' has a second name elsewhere (a hard link), and a change would show there too."
    assert f"{expected} Write to a new file instead." == said
    assert "outside" == (root.parent / "x").read_text()


def test_a_file_that_cannot_be_a_folder_is_named(root: Path) -> None:
    """The component that is wrong, not the whole path."""
    (root / "n.txt").write_text("text")
    files = FileSystem(root)

    expected = "'n.txt' is a file, not a directory. Use list_directory to see what is there."
    assert expected == refusal(files.read_file, "n.txt/deep/x")
    assert expected == refusal(files.list_directory, "n.txt")
    assert expected == refusal(files.create_directory, "n.txt")


def test_no_descriptor_is_left_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by what works nor by what is refused, halfway or at the end."""
    monkeypatch.setattr(_root, "LOCK_SECONDS", 0.0)  # one left open would keep the lock, and the next change waiting
    files = FileSystem(root)
    (root / "link").symlink_to("../outside")
    os.mkfifo(root / "pipe")

    def round_of_calls() -> None:
        files.write_file("a/b/n.txt", "text")
        files.search_files("t", contents=True)
        for path in ("link/x", "pipe", "a/b/n.txt/x", "a/none/x", "a/b", "../x"):
            for tool in ("read_file", "edit_file", "delete_file", "append_file"):
                refusal(getattr(files, tool), path, **MORE[tool]) if (path, tool) != ("a/none/x", "append_file") else 0
        files.delete_directory("a/b")

    round_of_calls()
    before = len(os.listdir("/dev/fd"))
    round_of_calls()

    assert before == len(os.listdir("/dev/fd"))
