"""Symbolic links: followed as far as they stay below the root, the same in both ways."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudllm_tool_filesystem import FileError, FileSystem, _beneath, _openat2


@pytest.fixture
def root(tmp_path: Path, way: str) -> Path:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "n.txt").write_text("inside")
    return tmp_path / "root"


def refusal(call: Callable[..., Any], *args: Any, **more: Any) -> str:
    with pytest.raises(FileError) as caught:
        call(*args, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("l", "a/n.txt", "l"),
        ("l", "./a//b/../n.txt", "l"),
        ("l", "a", "l/n.txt"),
        ("l", "a/b/..", "l/n.txt"),
        ("a/b/l", "../n.txt", "a/b/l"),
        ("a/b/l", "../../a", "a/b/l/n.txt"),
        ("a/b/l", "../..", "a/b/l/a/n.txt"),
        ("l", ".", "l/l/a/n.txt"),
    ],
)
def test_a_link_that_stays_below_is_followed(root: Path, link: str, target: str, path: str) -> None:
    """Reading, changing and asking reach the file; the link stays a link."""
    (root / link).symlink_to(target)
    files = FileSystem(root)

    assert "inside" == files.read_file(path)
    files.append_file(path, "+")
    files.edit_file(path, "inside+", "new")
    assert "new" == (root / "a" / "n.txt").read_text()
    files.write_file(path, "newer")
    assert "newer" == (root / "a" / "n.txt").read_text()
    assert files.file_exists(path)
    assert 5 == files.file_info(path)["size"]
    assert (root / link).is_symlink()


def test_folders_are_made_and_listed_through_a_link(root: Path) -> None:
    """With the paths the model used."""
    (root / "l").symlink_to("a")
    files = FileSystem(root)
    files.write_file("l/new/m.txt", "text")

    assert "text" == (root / "a" / "new" / "m.txt").read_text()
    listed = files.list_directory("l", recursive=True)["entries"]
    assert ["l/b", "l/n.txt", "l/new", "l/new/m.txt"] == [entry["path"] for entry in listed]


def test_forty_links_are_followed_and_no_more(root: Path) -> None:
    """On the way and at the end; a circle is one that goes on for ever."""
    (root / "d0").symlink_to("a")
    (root / "f0").symlink_to("a/n.txt")
    for nth in range(1, 42):
        (root / f"d{nth}").symlink_to(f"d{nth - 1}")
        (root / f"f{nth}").symlink_to(f"f{nth - 1}")
    (root / "round").symlink_to("round")
    files = FileSystem(root)

    assert "inside" == files.read_file("d39/n.txt") == files.read_file("f39")
    assert "'d40' follows more than 40 symbolic links. Use a path without links." == refusal(
        files.read_file, "d40/n.txt"
    )
    for path in ("f40", "round", "round/x"):
        assert "follows more than 40 symbolic links" in refusal(files.read_file, path)


def test_a_link_to_nothing_is_said_to_be_one(root: Path) -> None:
    """It does not exist, for whoever asks; writing does not make it exist."""
    (root / "l").symlink_to("gone")
    files = FileSystem(root)

    expected = "'l' is a symbolic link to nothing. Use list_directory to see what is there."
    assert expected == refusal(files.read_file, "l") == refusal(files.write_file, "l", "x")
    assert expected == refusal(files.write_file, "l/x", "x") == refusal(files.create_directory, "l/x")
    assert not files.file_exists("l")
    assert not (root / "gone").exists()


@pytest.mark.parametrize("target", ["a/n.txt", "a", "gone", "..", "/etc/passwd"])
def test_deleting_a_link_deletes_the_link(root: Path, target: str) -> None:
    """Wherever it leads, that stays; a link to a folder is no folder."""
    (root / "l").symlink_to(target)
    files = FileSystem(root)

    assert "'l' is not a directory. Use delete_file for a file." == refusal(files.delete_directory, "l")
    assert "Deleted 'l'." == files.delete_file("l")
    assert ["a"] == os.listdir(root)
    assert "inside" == files.read_file("a/n.txt")


@pytest.mark.parametrize("target", ["..", ".", "a/.."])
def test_a_link_to_a_folder_above_is_no_file(root: Path, target: str) -> None:
    """A target that ends with dots is a directory, and outside the root none at all."""
    (root / "a" / "l").symlink_to(target)
    (root / "l").symlink_to(".." if target == ".." else ".")
    files = FileSystem(root)

    assert "is a directory" in refusal(files.read_file, "a/l") if target != "a/.." else True
    said = refusal(files.write_file, "l", "x")
    assert ("leads out of the root" if target == ".." else "'l' is a directory, not a file") in said


def test_a_link_is_moved_by_nobody(root: Path) -> None:
    """In another folder it would lead elsewhere."""
    (root / "l").symlink_to("a/n.txt")

    assert "'l' is a symbolic link. Name the file it leads to." == refusal(FileSystem(root).move_file, "l", "a/l")


def test_the_rule_for_kinds_holds_for_what_a_link_leads_to(root: Path) -> None:
    """Whatever the link is called."""
    (root / "n.md").symlink_to(".env")
    (root / "m.md").symlink_to("o.md")
    (root / ".env").write_text("key=1")
    (root / "o.md").write_text("text")
    files = FileSystem(root, extensions=[".md"])
    expected = "'n.md' is a link to what is not of a kind that may be used here. Names must end with: .md."

    assert "text" == files.read_file("m.md")
    calls: list[tuple[Any, ...]] = [
        (files.read_file,),
        (files.write_file, "x"),
        (files.append_file, "x"),
        (files.edit_file, "k", "x"),
        (files.file_info,),
        (files.file_exists,),
    ]
    for call, *more in calls:
        assert expected == refusal(call, "n.md", *more)
    assert "key=1" == (root / ".env").read_text()


@pytest.mark.parametrize("target", ["a", "../outside", "a/../a"])
def test_on_the_way_down_no_link_is_followed(root: Path, target: str) -> None:
    """Not even one that stays below: what a search or a deletion enters was a directory when it was listed."""
    (root / "l").symlink_to(target)
    fd = os.open(root, os.O_RDONLY)
    try:
        with pytest.raises(FileError, match="'l' is a link, not a directory"), _beneath.below(fd, ("l",)):
            pass
        with pytest.raises(FileError, match="'l' is a link, not a directory"), _beneath.below(fd, ("l", "b")):
            pass
        with _beneath.below(fd, ("a", "b")) as inner:
            assert [] == os.listdir(inner)
    finally:
        os.close(fd)


NAMES = st.sampled_from("abc")
STEPS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", "", "/"]), min_size=1, max_size=5)


@settings(max_examples=60)
@given(
    made=st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.one_of(st.none(), st.just("file"), STEPS)), max_size=8
    ),
    asked=st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=4),
)
def test_both_ways_answer_alike_and_stay_below(tmp_path_factory: Any, made: Any, asked: Any) -> None:
    """Any folders, files and links, any paths: the same results, the same sentences, and nothing from outside."""
    if _openat2.opener() is None:
        pytest.skip("this system has no openat2")
    answers = []
    for opener in (_openat2.opener, lambda: None):
        top = tmp_path_factory.mktemp("top")
        for name in "abc":
            (top / name).write_text("SECRET")
        build(top / "root", made)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_openat2, "opener", opener)
            answers.append([answer(FileSystem(top / "root"), "/".join(path)) for path in asked])
            answers[-1].append(sorted(str(path.relative_to(top)) for path in top.rglob("*")))  # links not followed
        assert ["SECRET"] * 3 == [(top / name).read_text() for name in "abc"]

    assert answers[0] == answers[1]
    assert "SECRET" not in str(answers)


def build(root: Path, made: Any) -> None:
    root.mkdir()
    for parts, kind in sorted(made, key=lambda one: isinstance(one[1], list)):  # links last,
        place = root.joinpath(*parts)
        if any(parent.is_symlink() for parent in place.parents):  # and none beyond another
            continue
        try:
            if kind is None:
                place.mkdir(parents=True)
            elif kind == "file":
                place.write_text("inside")
            else:
                place.symlink_to("/".join(kind) or ".")
        except OSError:
            continue  # something else has that place


def answer(files: FileSystem, path: str) -> list[Any]:
    calls: list[Callable[[], Any]] = [
        lambda: files.read_file(path),
        lambda: files.list_directory(path),
        lambda: files.file_exists(path),
        lambda: files.append_file(path, "+"),
        lambda: files.create_directory(path),
    ]
    said = []
    for call in calls:
        try:
            said.append(call())
        except FileError as problem:
            said.append(str(problem))
    return said
