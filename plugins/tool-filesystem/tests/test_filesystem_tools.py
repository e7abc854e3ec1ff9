"""What each tool does, and how it says that it could not."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudllm_tool_filesystem
from cloudllm_core import ToolContext
from cloudllm_tool_filesystem import FileError, FileSystem, _search, _tree, reading

CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)


@pytest.fixture
def files(tmp_path: Path) -> FileSystem:
    return FileSystem(tmp_path / "root")


def refusal(call: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(FileError) as caught:
        call(*args, **more)
    return str(caught.value)


# -- the contract --


def test_the_names_and_effects_are_a_contract(files: FileSystem) -> None:
    """Team files, prompts and recorded runs rest on them."""
    assert {
        "read_file": "read",
        "write_file": "idempotent",
        "append_file": "write",
        "edit_file": "write",
        "list_directory": "read",
        "create_directory": "idempotent",
        "move_file": "write",
        "delete_file": "write",
        "delete_directory": "write",
        "file_info": "read",
        "file_exists": "read",
        "search_files": "read",
    } == {tool.name: tool.effect for tool in files.tools()}
    assert {("files",)} == {tool.needs for tool in files.tools()}


def test_what_a_model_may_send_is_what_a_method_takes(files: FileSystem) -> None:
    """Schema and signature name the same parameters, required and with the same defaults."""
    for tool in files.tools():
        taken = inspect.signature(getattr(FileSystem, tool.name)).parameters
        defaults = {key: p.default for key, p in taken.items() if p.default not in (p.empty, None)}

        assert [key for key in taken if key != "self"] == list(tool.parameters["properties"])
        assert [key for key, p in taken.items() if p.default is p.empty and key != "self"] == tool.parameters[
            "required"
        ]
        shown = {key: schema["default"] for key, schema in tool.parameters["properties"].items() if "default" in schema}
        assert defaults == shown


def test_a_call_runs_beside_the_event_loop(files: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk holds up nobody else."""
    monkeypatch.setattr(FileSystem, "file_exists", lambda self, path: threading.current_thread().name)

    assert threading.main_thread().name != asyncio.run(files.call("file_exists", {"path": "x"}, CONTEXT))


def test_calls_by_name_do_what_methods_do(files: FileSystem) -> None:
    """`call` is how the kernel reaches them."""
    asyncio.run(files.call("write_file", {"path": "n.txt", "content": "text"}, CONTEXT))

    assert "text" == asyncio.run(files.call("read_file", {"path": "n.txt"}, CONTEXT))
    said = refusal(asyncio.run, files.call("aclose", {}, CONTEXT))
    assert said.startswith("'aclose' is no tool of this file system. There are read_file,")


def test_the_plugin_offers_its_class() -> None:
    """The hook answers with the class, under the name users type."""
    assert FileSystem is cloudllm_tool_filesystem.cloudllm_register_tool_protocol()
    assert "filesystem" == FileSystem.name


# -- reading and writing --

NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\~:"), min_size=1, max_size=40
).filter(lambda name: name not in (".", ".."))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(folders=st.lists(NAMES, max_size=3), name=NAMES, text=TEXTS)
def test_what_is_written_is_read_and_listed(tmp_path_factory: Any, folders: list[str], name: str, text: str) -> None:
    """Any name, any text, any line breaks: exactly the same comes back, and the listing shows it."""
    files = FileSystem(tmp_path_factory.mktemp("root"))
    path = "/".join([*folders, name])
    files.write_file(path, text)

    assert text == files.read_file(path)
    listed = {entry["path"]: entry for entry in files.list_directory(recursive=True)["entries"]}
    assert {"path": path, "kind": "file", "size": len(text.encode())} == listed[path]
    assert len(folders) + 1 == len(listed)


@settings(max_examples=40)  # each is synced
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_what_is_appended_adds_up(tmp_path_factory: Any, texts: list[str]) -> None:
    """The first makes the file, with its folders; nothing comes between."""
    files = FileSystem(tmp_path_factory.mktemp("root"))
    for text in texts:
        files.append_file("d/n.txt", text)

    assert "".join(texts) == files.read_file("d/n.txt")


@given(text=TEXTS, data=st.data())
def test_line_ranges_put_together_give_the_whole(tmp_path_factory: Any, text: str, data: st.DataObject) -> None:
    """A file read in two parts, cut at any line, is the file."""
    files = FileSystem(tmp_path_factory.mktemp("root"))
    files.write_file("n.txt", text)
    count = max(text.count("\n") + (not text.endswith("\n")), 1)
    cut = data.draw(st.integers(1, count))
    rest = files.read_file("n.txt", cut + 1) if cut < count else ""

    assert text == files.read_file("n.txt", 1, cut) + rest


def test_lines_are_counted_from_one_and_both_ends_are_included(files: FileSystem) -> None:
    """Only a line feed ends a line, so that numbers agree with other tools; too late an end is the last line."""
    files.write_file("n.txt", "one\ntwo\x0c still\r\nthree")

    assert "two\x0c still\r\n" == files.read_file("n.txt", 2, 2)
    assert "two\x0c still\r\nthree" == files.read_file("n.txt", start_line=2, end_line=99)
    assert "one\n" == files.read_file("n.txt", end_line=1)
    expected = "'n.txt' has 3 lines and none is number 4. Choose lines it has."
    assert expected == refusal(files.read_file, "n.txt", 4)
    expected = "'n.txt' has no lines 3 to 2. Let end_line be no less than start_line."
    assert expected == refusal(files.read_file, "n.txt", 3, 2)


@given(text=TEXTS, length=st.integers(1, 7))
def test_byte_ranges_put_together_give_the_whole(tmp_path_factory: Any, text: str, length: int) -> None:
    """Cut anywhere, also within a character: each is in exactly one part."""
    files = FileSystem(tmp_path_factory.mktemp("root"))
    files.write_file("n.txt", text)
    size = len(text.encode())
    parts = [files.read_file("n.txt", offset=first, length=length) for first in range(0, size, length)]

    assert text == "".join(parts)


def test_byte_ranges_are_counted_from_nought_and_capped(tmp_path: Path) -> None:
    """Either end may be left out; the size cap is one of a part, not of the file."""
    files = FileSystem(tmp_path, max_bytes=4)
    (tmp_path / "n.txt").write_text("aé\u20ac0123")

    assert "é" == files.read_file("n.txt", offset=1, length=1)
    assert "\u20ac0" == files.read_file("n.txt", offset=3)
    assert "aé\u20ac" == files.read_file("n.txt", length=100)
    assert "'n.txt' holds 10 bytes and none is at 10. Choose a smaller offset; the first byte is at 0." == refusal(
        files.read_file, "n.txt", offset=10
    )
    expected = "'n.txt' cannot be read by lines and by bytes at once. Give lines, or offset and length."
    assert expected == refusal(files.read_file, "n.txt", 1, offset=0)
    expected = "'n.txt' has no such bytes. offset begins at 0, and length at 1."
    assert expected == refusal(files.read_file, "n.txt", offset=-1) == refusal(files.read_file, "n.txt", length=0)
    (tmp_path / "n.bin").write_bytes(b"abc\xff")
    assert "(byte 0xff at 3). It is a binary file of 4 bytes" in refusal(files.read_file, "n.bin", offset=1)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"])
def test_a_file_with_a_byte_order_mark_is_read_and_stays_what_it_is(files: FileSystem, encoding: str) -> None:
    """Editing and adding keep its encoding, and the mark is neither lost nor doubled."""
    files.create_directory(".")
    (files.root / "n.txt").write_bytes("\ufeffone\r\ntwo é".encode(encoding))

    assert "\ufeffone\r\ntwo é" == files.read_file("n.txt")
    files.edit_file("n.txt", "two", "2")
    files.append_file("n.txt", "!")
    assert "\ufeffone\r\n2 é!".encode(encoding) == (files.root / "n.txt").read_bytes()
    assert 1 == len(files.search_files("2 é!", contents=True)["matches"])


def test_another_encoding_is_used_for_reading_and_writing(tmp_path: Path) -> None:
    """What it does not have is said, and nothing is lost."""
    files = FileSystem(tmp_path, encoding="latin1")
    (tmp_path / "n.txt").write_bytes(b"caf\xe9")
    files.append_file("n.txt", " \xfc")

    assert "caf\xe9 \xfc" == files.read_file("n.txt")
    assert b"caf\xe9 \xfc" == (tmp_path / "n.txt").read_bytes()
    expected = "'n.txt' cannot take U+20AC (at 2), which iso8859-1 does not have. Leave it out."
    for tool in (files.write_file, files.append_file):
        assert expected == refusal(tool, "n.txt", "5 \u20ac")
    assert b"caf\xe9 \xfc" == (tmp_path / "n.txt").read_bytes()


def test_a_replaced_file_keeps_its_mode(files: FileSystem) -> None:
    """A script stays executable."""
    files.write_file("run.sh", "old")
    (files.root / "run.sh").chmod(0o750)
    files.write_file("run.sh", "new")

    assert 0o750 == (files.root / "run.sh").stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x89PNG\r\n", "is not UTF-8 text (byte 0x89 at 0). It is a PNG image of 6 bytes"),
        (b"a\0b", "is not text (byte 0x00 at 1). It is a binary file of 3 bytes"),
        (b"\xff\xfeA", "is not UTF-16-LE text (byte 0x41 at 2). It is a binary file of 3 bytes"),
    ],
)
def test_a_binary_file_is_said_to_be_one(files: FileSystem, data: bytes, problem: str) -> None:
    """What it is, and how large, instead of a decoder's complaint."""
    files.create_directory("d")
    (files.root / "d" / "n.bin").write_bytes(data)

    expected = f"'d/n.bin' {problem}; only text can be read."
    assert expected == refusal(files.read_file, "d/n.bin")


def test_text_that_is_none_is_not_written(files: FileSystem) -> None:
    """What could not be read back."""
    assert "'n' cannot take a NUL character. Only text can be written." == refusal(files.write_file, "n", "a\0")
    expected = "'n' cannot take half a character (U+D83D at 1). Send whole Unicode characters."
    assert expected == refusal(files.append_file, "n", "a\ud83d")
    assert not files.file_exists("n")


def test_sizes_are_capped_on_the_way_in_and_out(tmp_path: Path) -> None:
    """Writing, adding, editing and reading, each before anything is changed or held in memory."""
    files = FileSystem(tmp_path, max_bytes=10)
    files.write_file("n", "0123456789")
    over = "would hold 11 bytes, more than the 10 allowed."

    assert f"'m' {over} Write less, or split it into several files." == refusal(
        files.write_file, "m", "0123456789é"[1:]
    )
    assert f"'n' {over} Begin another file." == refusal(files.append_file, "n", "x")
    assert over in refusal(files.edit_file, "n", "9", "99")
    assert "0123456789" == files.read_file("n")
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(10 * 2**30)
    expected = "'sparse' holds 10,737,418,240 bytes, more than the 10 allowed. Read a part of it with offset"
    assert expected in refusal(files.read_file, "sparse")


def test_a_file_that_grows_while_it_is_read_is_still_capped(tmp_path: Path) -> None:
    """Files of /proc say that they hold nothing; what comes out counts."""
    if not Path("/proc/self/status").exists():
        pytest.skip("/proc is Linux's own")

    assert "more than the 10 allowed" in refusal(FileSystem("/proc", read_only=True, max_bytes=10).read_file, "version")


# -- editing --


def test_an_edit_changes_one_passage_and_nothing_else(files: FileSystem) -> None:
    """Line breaks of other systems too."""
    files.write_file("n.txt", "one\r\ntwo\r\nthree")
    files.edit_file("n.txt", "two\r\n", "2\n")

    assert "one\r\n2\nthree" == files.read_file("n.txt")


def test_an_edit_needs_exactly_one_match(files: FileSystem) -> None:
    """None and several are refused with their number, overlapping ones counted; the file stays."""
    files.write_file("n.txt", "aaa b b b")

    assert (
        "'n.txt' was not changed: the old passage does not occur in it. "
        "Read the file and copy the passage exactly, spaces and line breaks too."
    ) == refusal(files.edit_file, "n.txt", "c", "x")
    assert (
        "'n.txt' was not changed: the old passage occurs 3 times in it. "
        "Give more of the text around it, so that it occurs once."
    ) == refusal(files.edit_file, "n.txt", "b", "x")
    assert "occurs 2 times" in refusal(files.edit_file, "n.txt", "aa", "x")
    assert "does not occur" in refusal(files.edit_file, "n.txt", "", "x")
    assert "aaa b b b" == files.read_file("n.txt")


# -- looking around --


def test_a_listing_has_paths_that_other_tools_take(files: FileSystem) -> None:
    """Whole from the root, also when the listing began further down; sorted, folders before what they hold."""
    for path in ("b/c/n.txt", "b/a.txt", "z.txt"):
        files.write_file(path, "text")

    assert {
        "entries": [
            {"path": "b", "kind": "directory", "size": 0},
            {"path": "z.txt", "kind": "file", "size": 4},
        ],
        "complete": True,
    } == files.list_directory()
    paths = [entry["path"] for entry in files.list_directory("./b", recursive=True)["entries"]]
    assert ["b/a.txt", "b/c", "b/c/n.txt"] == paths
    assert "text" == files.read_file(paths[2])
    assert ["b", "b/a.txt", "b/c", "b/c/n.txt", "z.txt"] == [
        entry["path"] for entry in files.list_directory(recursive=True)["entries"]
    ]


def test_a_listing_that_is_cut_says_so(files: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete up to the limit, not beyond."""
    monkeypatch.setattr(reading, "MOST_ENTRIES", 3)
    for name in "abc":
        files.write_file(name, "")
    assert files.list_directory()["complete"]
    files.write_file("d", "")

    assert ["a", "b", "c"] == [entry["path"] for entry in files.list_directory()["entries"]]
    assert not files.list_directory()["complete"]


def test_a_folder_with_more_names_than_are_taken_is_said_not_to_be_whole(files: FileSystem, monkeypatch: Any) -> None:
    """By listings and searches; and it is not deleted unseen."""
    monkeypatch.setattr(_tree, "MOST_NAMES", 2)
    for name in "abc":
        files.write_file(f"d/{name}", "")

    assert 2 == len(files.list_directory("d")["entries"])
    assert not files.list_directory("d")["complete"]
    assert not files.search_files("a")["complete"]
    assert "'d' was not deleted: '.' in it is too large" in refusal(files.delete_directory, "d")


def test_a_name_that_is_no_unicode_is_listed_with_marks(files: FileSystem) -> None:
    """The listing stays something that can be sent."""
    files.create_directory(".")
    try:
        (files.root / "caf\udce9.txt").write_text("")
    except OSError:
        pytest.skip("this file system only takes Unicode names")

    assert ["caf\ufffd.txt"] == [entry["path"] for entry in files.list_directory()["entries"]]


def test_info_tells_five_things(files: FileSystem) -> None:
    """Of a file, a folder and the root."""
    files.write_file("d/n.txt", "text")
    info = files.file_info("./d/n.txt")

    assert ["name", "path", "size", "is_directory", "modified"] == list(info)
    assert ("n.txt", "d/n.txt", 4, False) == tuple(info.values())[:4]
    assert info["modified"].endswith("+00:00")
    assert ("d", "d", 0, True) == tuple(files.file_info("d").values())[:4]
    assert (".", ".", 0, True) == tuple(files.file_info(".").values())[:4]
    assert "'none' does not exist. Use list_directory to see what is there." == refusal(files.file_info, "none")


def test_what_exists_is_said_as_yes_or_no(files: FileSystem) -> None:
    """No for a name in a folder that does not exist either."""
    files.write_file("d/n.txt", "")

    assert [True, True, True, False, False] == [
        files.file_exists(path) for path in ("d/n.txt", "d", ".", "d/none", "none/n.txt")
    ]


def test_names_are_searched_in_any_case(files: FileSystem) -> None:
    """Files and folders, by their own name and not by their folder's."""
    for path in ("Notes/plan.md", "d/NOTE.txt", "d/other"):
        files.write_file(path, "")

    assert [{"path": "Notes", "kind": "directory"}, {"path": "d/NOTE.txt", "kind": "file"}] == files.search_files(
        "note"
    )["matches"]
    assert {"matches": [], "complete": True, "skipped": 0} == files.search_files("plan", "d")


def test_lines_are_searched_and_what_is_no_text_is_counted(files: FileSystem) -> None:
    """Path, number and the line itself, cut where it is long."""
    files.write_file("d/n.txt", "one\n  TWO two\n" + "two" * 100)
    (files.root / "d" / "two.bin").write_bytes(b"two\xff")

    assert {
        "matches": [
            {"path": "d/n.txt", "line": 2, "text": "TWO two"},
            {"path": "d/n.txt", "line": 3, "text": ("two" * 100)[:200]},
        ],
        "complete": True,
        "skipped": 1,
    } == files.search_files("two", contents=True)
    assert "'.' was not searched, because the query is empty. Say what to look for." == refusal(files.search_files, "")


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("*.py", ["README.py", "src/a.py", "src/x/test_b.py"]),
        ("TEST_?.PY", ["src/x/test_b.py"]),
        ("[ab].py", ["src/a.py"]),
        ("src/*.py", ["src/a.py"]),
        ("src/**/*.py", ["src/a.py", "src/x/test_b.py"]),
        ("**/x/*", ["src/x/test_b.py"]),
        ("**", ["README.py", "src", "src/a.py", "src/n[1].md", "src/x", "src/x/test_b.py"]),
        ("src/x", ["src/x"]),
        ("n[1].md", ["src/n[1].md"]),
        ("*/" * 30 + "**", []),
    ],
)
def test_names_are_searched_with_wildcards(files: FileSystem, query: str, paths: list[str]) -> None:
    """One star stays within a folder, two cross them; a pattern that is a piece of the name finds it too."""
    for path in ("README.py", "src/a.py", "src/x/test_b.py", "src/n[1].md"):
        files.write_file(path, "")

    assert paths == [match["path"] for match in files.search_files(query)["matches"]]


def test_a_search_of_lines_can_be_kept_to_some_names(files: FileSystem) -> None:
    """And its query stays plain text, whatever it looks like."""
    for path in ("a.py", "d/b.py", "n.md"):
        files.write_file(path, "x = (a+)+$ [*]")

    found = files.search_files("(A+)+$ [*]", contents=True, names="*.py")["matches"]
    assert [("a.py", "x = (a+)+$ [*]"), ("d/b.py", "x = (a+)+$ [*]")] == [(one["path"], one["text"]) for one in found]
    assert [] == files.search_files("a.*", contents=True)["matches"]


@pytest.mark.parametrize("pattern", ["**/" * 64 + "x", "*a" * 500 + "b", "[" * 1_000, "*" * 1_024])
def test_no_pattern_of_names_takes_long(files: FileSystem, pattern: str) -> None:
    """What would keep a backtracking matcher busy for ever is answered."""
    files.write_file("/".join("x" * 60) + "/" + "a" * 250, "")

    assert {"matches", "complete", "skipped"} == set(files.search_files(pattern, names=pattern))
    assert "the pattern is too long" in refusal(files.search_files, "*" * 1_025)
    assert "the pattern is too long" in refusal(files.search_files, "x", names="*/" * 65)


@pytest.mark.parametrize(("limit", "contents"), [("MOST_MATCHES", True), ("MOST_ENTRIES", False), ("MOST_BYTES", True)])
def test_a_search_that_is_cut_says_so(files: FileSystem, monkeypatch: Any, limit: str, contents: bool) -> None:
    """It ends in bounded work, and does not pass for the whole."""
    for name in "abc":
        files.write_file(name, "a\na\na\n")
    assert files.search_files("a", contents=contents)["complete"]
    monkeypatch.setattr(_search, limit, 2)

    assert not files.search_files("a", contents=contents)["complete"]


# -- moving --


def test_a_file_is_moved_and_nothing_is_overwritten(files: FileSystem) -> None:
    """With its content and mode, into folders made for it; what is there already stays."""
    files.write_file("a.sh", "text")
    (files.root / "a.sh").chmod(0o750)
    files.write_file("b.sh", "other")

    assert "'b.sh' exists already. Choose another name, or delete that first." == refusal(
        files.move_file, "a.sh", "b.sh"
    )
    assert "'a.sh' exists already." in refusal(files.move_file, "a.sh", "a.sh")
    assert "Moved 'a.sh' to 'd/e/c.sh'." == files.move_file("a.sh", "d/e/c.sh")
    assert "text" == files.read_file("d/e/c.sh")
    assert 0o750 == (files.root / "d/e/c.sh").stat().st_mode & 0o777
    assert "other" == files.read_file("b.sh")
    assert "'a.sh' does not exist." in refusal(files.move_file, "a.sh", "x")
    assert "'d' is a directory, not a file." in refusal(files.move_file, "d", "x")
    assert "'.' is the root itself." in refusal(files.move_file, "b.sh", ".")
    assert ["b.sh", "d"] == [entry["path"] for entry in files.list_directory()["entries"]]


# -- deleting --


def test_a_folder_too_deep_to_be_looked_through_stays_whole(files: FileSystem) -> None:
    """Other programs can make such; it is said before anything is deleted, and a listing says that it is not all."""
    files.create_directory("d")
    fd = os.open(files.root / "d", os.O_RDONLY)
    for _ in range(140):
        os.mkdir("x" * 200, dir_fd=fd)
        inner = os.open("x" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)

    said = refusal(files.delete_directory, "d")
    assert "in it is too large, too deep, too slow or not readable. Delete what is in it first." in said
    assert not files.list_directory("d", recursive=True)["complete"]
    assert files.file_exists("d/" + "x" * 200)
    shutil.rmtree(files.root / "d")


def test_files_and_folders_are_deleted_by_their_own_tools(files: FileSystem) -> None:
    """Neither takes the other; a folder goes with all it holds."""
    files.write_file("d/e/n.txt", "")
    files.write_file("d/m.txt", "")
    files.write_file("stays.txt", "")

    expected = "'d' is a directory, not a file. Use list_directory to see what is in it."
    assert expected == refusal(files.delete_file, "d")
    assert "'d/m.txt' is not a directory. Use delete_file for a file." == refusal(files.delete_directory, "d/m.txt")
    files.delete_file("d/m.txt")
    assert not files.file_exists("d/m.txt")
    files.delete_directory("d")
    assert ["stays.txt"] == [path.name for path in files.root.iterdir()]
    for tool in (files.delete_file, files.delete_directory, files.read_file):
        assert "'d' does not exist. Use list_directory to see what is there." == refusal(tool, "d")
    assert "'none' does not exist." in refusal(files.edit_file, "none/n.txt", "a", "b")


def test_making_a_folder_twice_is_no_mistake(files: FileSystem) -> None:
    """It is idempotent, and so is writing."""
    assert files.create_directory("d/e") == files.create_directory("d/e") == "The directory 'd/e' exists."
    assert files.write_file("n", "é") == files.write_file("n", "é") == "Wrote 2 bytes to 'n'."


def test_a_search_ends_in_time_whatever_it_passes_over(files: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are no text, or may not be used, count for nothing else; so time is counted, and said."""
    files.create_directory(".")
    for name in ("a.bin", "b.bin", "c.md"):
        (files.root / name).write_bytes(b"\0plan")
    monkeypatch.setattr(_tree, "MOST_SECONDS", -1.0)

    assert {"matches": [], "complete": False, "skipped": 1} == files.search_files("plan", contents=True)
    narrow = attrs.evolve(files, extensions=[".md"])
    assert {"matches": [], "complete": False, "skipped": 0} == narrow.search_files("c")
    assert {"entries": [], "complete": False} == narrow.list_directory(recursive=True)
