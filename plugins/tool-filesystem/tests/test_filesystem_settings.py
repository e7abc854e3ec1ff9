"""What a user sets: the root, whether to read only, which kinds of files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import ToolContext
from cloudllm_core.errors import SettingsError
from cloudllm_tool_filesystem import FileError, FileSystem

CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)
READING = ["read_file", "list_directory", "file_info", "file_exists", "search_files"]


@pytest.fixture
def files(tmp_path: Path) -> FileSystem:
    return FileSystem(tmp_path / "root")


def refusal(call: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(FileError) as caught:
        call(*args, **more)
    return str(caught.value)


# -- settings --


def test_settings_come_from_plain_data(tmp_path: Path) -> None:
    """As from a table of a team file; endings are written with or without their dot."""
    made = FileSystem.from_settings({"root": str(tmp_path), "read_only": True, "extensions": ["md", ".TXT"]})

    assert FileSystem(tmp_path, read_only=True, extensions=(".md", ".txt")) == made


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "found no 'root', expected 'root', which 'filesystem' needs."),
        ({"root": "x", "read_onl": True}, "Did you mean 'read_only'?"),
        ({"root": "x", "extensions": "md"}, "extensions: found 'md', expected a list or nothing."),
        ({"root": "x", "extensions": []}, "extensions: found [], expected a list such as ['.md', '.txt']."),
        ({"root": "x", "extensions": [""]}, "'' is no extension; write one such as '.md'."),
        ({"root": "x", "extensions": ["/."]}, "'/.' is no extension; write one such as '.md'."),
        ({"root": "x", "max_bytes": 0}, "max_bytes: found 0, expected at least 1."),
        ({"root": "x", "denied": ["."]}, "'.' is no extension; write one such as '.md'."),
        ({"root": "x", "denied": [".sh."]}, "'.sh.' is no extension; write one such as '.md'."),
        ({"root": "x", "encoding": "klingon"}, "'klingon' is no encoding of text"),
        ({"root": "x", "encoding": "base64"}, "'base64' is no encoding of text"),
        ({"root": "x", "encoding": "utf-16"}, "'utf-16' marks each piece it writes; write 'utf-8'"),
        ({"root": "/"}, "root '/' holds the home folder; name one below it, or set anywhere."),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], sentence: str) -> None:
    """Each with what was expected."""
    with pytest.raises(SettingsError) as caught:
        FileSystem.from_settings(settings)

    assert sentence in str(caught.value)


def test_a_root_is_made_on_first_use_and_stays_where_it_was_meant(tmp_path: Path, monkeypatch: Any) -> None:
    """Parents included; a later change of the working directory does not move it."""
    monkeypatch.chdir(tmp_path)
    files = FileSystem("deep/er/root")
    assert not (tmp_path / "deep").exists()
    monkeypatch.chdir("/")
    files.write_file("n.txt", "text")

    assert "text" == (tmp_path / "deep/er/root/n.txt").read_text()


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    """To the user, when it is set up; and to a model, if it becomes one later."""
    (tmp_path / "n.txt").write_text("text")
    with pytest.raises(ValueError, match=r"root must be a folder, and not the file '.*n.txt'"):
        FileSystem(tmp_path / "n.txt")

    later = FileSystem(tmp_path / "later")
    (tmp_path / "later").write_text("text")
    said = refusal(later.list_directory)
    assert "cannot be opened as the root: it is a file, not a directory. Only the user can set another root." in said


def test_read_only_offers_and_allows_reading_only(files: FileSystem) -> None:
    """Neither a call by name nor a call of the method changes anything, and the root is not made."""
    files.write_file("n.txt", "text")
    locked = FileSystem(files.root, read_only=True)

    assert READING == [tool.name for tool in locked.tools()]
    assert "text" == locked.read_file("n.txt")
    said = refusal(asyncio.run, locked.call("write_file", {}, CONTEXT))
    assert f"'write_file' is no tool of this file system. There are {', '.join(READING)}." == said
    changes: list[tuple[Any, ...]] = [
        (locked.write_file, "n.txt", "x"),
        (locked.append_file, "n.txt", "x"),
        (locked.edit_file, "n.txt", "t", "x"),
        (locked.create_directory, "d"),
        (locked.delete_file, "n.txt"),
        (locked.move_file, "n.txt", "m.txt"),
        (locked.delete_directory, "n.txt"),
    ]
    for change, *args in changes:
        assert "cannot be changed: these files are for reading only. Leave them as they are." in refusal(change, *args)
    missing = FileSystem(files.root / "none", read_only=True)
    assert "cannot be opened as the root: it does not exist. Only" in refusal(missing.list_directory)


@pytest.mark.parametrize("root", ["~", "{home}", "{home}/..", "{home}/sub/..", "{way}", "/"])
def test_the_home_folder_and_those_above_it_are_no_root_unless_the_user_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    """However it is written; what is below home may be one."""
    (tmp_path / "home" / "sub").mkdir(parents=True)
    (tmp_path / "way").symlink_to("home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = root.format(home=tmp_path / "home", way=tmp_path / "way")

    with pytest.raises(ValueError, match="holds the home folder; name one below it, or set anywhere"):
        FileSystem(root)
    assert FileSystem(root, anywhere=True).anywhere
    assert FileSystem("~/sub").file_exists(".")
    assert FileSystem(tmp_path / "way" / "sub").file_exists(".")


def test_needs_and_trust_are_said_truthfully(tmp_path: Path) -> None:
    """The kernel's policy acts by them: what foreign files say taints, what changes things anywhere is asked about."""
    plain, foreign = FileSystem(tmp_path), FileSystem(tmp_path, foreign=True)
    anywhere = FileSystem("/", anywhere=True)

    assert {("files",)} == {tool.needs for tool in (*plain.tools(), *foreign.tools())}
    assert [] == [tool.name for tool in plain.tools() if tool.untrusted]
    assert ["read_file", "list_directory", "search_files"] == [tool.name for tool in foreign.tools() if tool.untrusted]
    assert {("files",)} == {tool.needs for tool in anywhere.tools() if tool.effect == "read"}
    assert {("files", "outside")} == {tool.needs for tool in anywhere.tools() if tool.effect != "read"}
    assert READING == [tool.name for tool in FileSystem(tmp_path, foreign=True, read_only=True).tools()]


# -- which files --


@pytest.mark.parametrize(
    "name",
    [".env", ".ENV", "prod.env", ".env.local", ".env.", ".env ", ". env", "n.sh", "N.Sh", "n.sh. .", "n.ſh", "n.ｓｈ",
     "a.tar.gz", "A.TAR.GZ.", ".sh", "n.md.sh", ".sh.bak"],
)  # fmt: skip
def test_what_is_denied_is_read_widely(files: FileSystem, name: str) -> None:
    """Another case, a letter of another form, dots and spaces at the end: some file systems take them as the same."""
    picky = FileSystem(files.root, denied=["env", ".SH", ".tar.gz"])
    picky.write_file("n.md", "text")
    calls: list[tuple[Any, ...]] = [
        (picky.read_file, name),
        (picky.write_file, name, "x"),
        (picky.append_file, name, "x"),
        (picky.edit_file, name, "a", "b"),
        (picky.delete_file, name),
        (picky.move_file, name, "m.md"),
        (picky.move_file, "n.md", name),
        (picky.file_info, name),
        (picky.file_exists, name),
    ]
    if name == ". env":  # a space in the middle is a name of its own
        assert not picky.file_exists(name)
        return
    expected = f"{name!r} is not of a kind that may be used here. Names must not be or end with: .env, .sh, .tar.gz."
    for call, *more in calls:
        assert expected == refusal(call, *more)
    assert ["n.md"] == [path.name for path in files.root.iterdir()]


def test_what_is_not_denied_may_be_used(files: FileSystem) -> None:
    """Names without an ending too, and those that only look alike; both rules hold where both are set."""
    picky = FileSystem(files.root, denied=[".env", ".tar.gz"])
    for name in ("Makefile", "env", "n.gz", "environment", "n.env.md", "tar.gz"):
        picky.write_file(name, "text")
    assert {"Makefile", "env", "n.gz", "environment", "n.env.md", "tar.gz"} == {p.name for p in files.root.iterdir()}
    both = FileSystem(files.root, extensions=[".md"], denied=[".secret.md"])

    assert "text" == both.read_file("n.env.md")
    said = refusal(both.read_file, "n.secret.md")
    assert "Names must end with: .md, and not be or end with: .secret.md." in said


def test_what_is_denied_is_neither_listed_nor_searched_nor_deleted_with_its_folder(files: FileSystem) -> None:
    """As if it were not there, and yet it cannot be swept away."""
    files.write_file("d/.env", "key")
    files.write_file("d/n.md", "key")
    picky = FileSystem(files.root, denied=[".env"])

    assert ["d", "d/n.md"] == [entry["path"] for entry in picky.list_directory(recursive=True)["entries"]]
    assert ["d/n.md"] == [match["path"] for match in picky.search_files("key", contents=True)["matches"]]
    assert "'d' holds '.env', which may not be used here." in refusal(picky.delete_directory, "d")


@pytest.mark.parametrize(
    "name",
    ["Makefile", ".env", ".bashrc", "n.sh", "n.md.sh", "md", "n.md ", "n.md.", "Makefile/.", "d/Makefile", "mmd"],
)
def test_files_of_another_kind_are_refused_by_every_tool(files: FileSystem, name: str) -> None:
    """Names without an ending too, and for deleting, looking and asking too, whether they exist or not."""
    files.write_file("Makefile", "all:")
    files.write_file("d/Makefile", "all:")
    picky = FileSystem(files.root, extensions=(".md",))
    calls: list[tuple[Any, ...]] = [
        (picky.read_file,),
        (picky.write_file, "x"),
        (picky.append_file, "x"),
        (picky.edit_file, "a", "b"),
        (picky.delete_file,),
        (picky.file_info,),
        (picky.file_exists,),
    ]
    for call, *more in calls:
        said = refusal(call, name, *more)
        assert f"{name!r} is not of a kind that may be used here. Names must end with: .md." == said
    assert "all:" == files.read_file("Makefile")


def test_files_of_an_allowed_kind_and_folders_are_used_as_ever(files: FileSystem) -> None:
    """Whatever the case of the ending, and whatever a folder is called."""
    picky = FileSystem(files.root, extensions=("md", ".tar.gz"))
    picky.write_file("src/N.MD", "text")
    picky.write_file("a.tar.gz", "text")
    picky.create_directory("src/v1.2")

    assert "text" == picky.read_file("src/N.MD") == picky.read_file("./src/N.MD/.")
    assert picky.file_exists("src")
    assert picky.file_info("src")["is_directory"]
    picky.delete_file("src/N.MD")
    picky.delete_directory("src")
    assert ["a.tar.gz"] == [entry["path"] for entry in picky.list_directory(recursive=True)["entries"]]


def test_files_of_another_kind_are_neither_listed_nor_searched_nor_deleted_with_their_folder(files: FileSystem) -> None:
    """A folder that holds one stays whole."""
    files.write_file("d/.env", "key=1")
    files.write_file("d/n.md", "key=2")
    picky = FileSystem(files.root, extensions=(".md",))

    assert ["d", "d/n.md"] == [entry["path"] for entry in picky.list_directory(recursive=True)["entries"]]
    assert ["d/n.md"] == [match["path"] for match in picky.search_files("key", contents=True)["matches"]]
    assert [] == picky.search_files("env")["matches"]
    said = refusal(picky.delete_directory, "d")
    assert "'d' holds '.env', which may not be used here. Delete the other files one by one." == said
    assert {".env", "n.md"} == {path.name for path in (files.root / "d").iterdir()}
