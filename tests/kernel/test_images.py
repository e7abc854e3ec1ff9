"""Generated images: how they are saved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudllm_core import GeneratedImage
from cloudllm_core.errors import SetupError

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


def test_an_image_is_saved_whole(tmp_path: Path) -> None:
    """The file holds the bytes, and nothing else is left in the folder."""
    path = GeneratedImage("image/png", PNG).save(tmp_path / "cat.png")

    assert (tmp_path / "cat.png", PNG, ["cat.png"]) == (path, path.read_bytes(), os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("mime", "name"), [("image/png", "a.png"), ("image/jpeg", "a.jpg"), ("image/webp", "a.webp"), ("", "a.bin")]
)
def test_a_name_without_an_ending_is_given_the_right_one(tmp_path: Path, mime: str, name: str) -> None:
    """The ending follows the type, and the path that was written is returned."""
    assert tmp_path / name == GeneratedImage(mime, PNG).save(tmp_path / "a")


def test_an_ending_is_kept(tmp_path: Path) -> None:
    """What the user typed is where the file is."""
    assert tmp_path / "a.jpeg" == GeneratedImage("image/png", PNG).save(str(tmp_path / "a.jpeg"))


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk halfway through harms nothing."""
    (tmp_path / "cat.png").write_bytes(b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        GeneratedImage("image/png", PNG).save(tmp_path / "cat.png")

    assert (["cat.png"], b"old") == (os.listdir(tmp_path), (tmp_path / "cat.png").read_bytes())


def test_an_address_cannot_be_saved(tmp_path: Path) -> None:
    """The kernel opens no socket: the sentence says what to do."""
    with pytest.raises(SetupError) as caught:
        GeneratedImage("image/png", url="https://images.example/1.png").save(tmp_path / "cat")

    assert (
        "The image is not here, only its address: https://images.example/1.png. Ask for it with format='bytes'."
        == str(caught.value)
    )


def test_a_repr_does_not_print_an_image() -> None:
    """A log of a megabyte helps nobody."""
    assert f"{len(PNG)} bytes" in repr(GeneratedImage("image/png", PNG))
