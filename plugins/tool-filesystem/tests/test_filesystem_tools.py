"""What each tool does, and how it says that it could not."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudllm_tool_filesystem
from cloudllm_core import ToolContext
from cloudllm_tool_filesystem import FileError, FileSystem, _search, filesystem

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


def test_a_replaced_file_keeps_its_mode(files: FileSystem) -> None:
    """A script stays executable."""
    files.write_file("run.sh", "old")
    (files.root / "run.sh").chmod(0o750)
    files.write_file("run.sh", "new")

    assert 0o750 == (files.root / "run.sh").stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"\x89PNG\r\n", "is not UTF-8 text (byte 0x89 at 0)"), (b"a\0b", "is not text (byte 0x00 at 1)")],
)
def test_a_binary_file_is_said_to_be_one(files: FileSystem, data: bytes, problem: str) -> None:
    """Instead of a decoder's complaint."""
    files.create_directory("d")
    (files.root / "d" / "n.bin").write_bytes(data)

    expected = f"'d/n.bin' {problem}. It is a binary file; only text can be read."
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
    expected = "'sparse' holds 10,737,418,240 bytes, more than the 10 allowed. Use a smaller file, or ask for a larger"
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
    monkeypatch.setattr(filesystem, "MOST_ENTRIES", 3)
    for name in "abc":
        files.write_file(name, "")
    assert files.list_directory()["complete"]
    files.write_file("d", "")

    assert ["a", "b", "c"] == [entry["path"] for entry in files.list_directory()["entries"]]
    assert not files.list_directory()["complete"]


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


@pytest.mark.parametrize(("limit", "contents"), [("MOST_MATCHES", True), ("MOST_ENTRIES", False), ("MOST_BYTES", True)])
def test_a_search_that_is_cut_says_so(files: FileSystem, monkeypatch: Any, limit: str, contents: bool) -> None:
    """It ends in bounded work, and does not pass for the whole."""
    for name in "abc":
        files.write_file(name, "a\na\na\n")
    assert files.search_files("a", contents=contents)["complete"]
    monkeypatch.setattr(_search, limit, 2)

    assert not files.search_files("a", contents=contents)["complete"]


# -- deleting --


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
