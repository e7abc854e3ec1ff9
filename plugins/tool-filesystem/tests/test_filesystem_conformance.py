"""The file system's tools keep what every tool protocol promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudllm_core import ToolProtocol
from cloudllm_core.testing.conformance import ToolProtocolContract
from cloudllm_tool_filesystem import FileSystem


class TestFileSystem(ToolProtocolContract):
    """Over a folder with a few files."""

    words = (".", "notes.md", "src", "src/page.html", "gone.txt", "..", "/etc/passwd", "a/../b", "*.md", "\0")
    calls = (
        ("write_file", {"path": "new/file.txt", "content": "Ebb and flow.\n"}),
        ("read_file", {"path": "notes.md", "start_line": 1}),
        ("list_directory", {"path": ".", "recursive": True}),
        ("file_exists", {"path": "src/page.html"}),
        ("file_info", {"path": "src"}),
    )

    @pytest.fixture
    def protocol(self, tmp_path: Path) -> ToolProtocol:
        root = tmp_path / "root"
        (root / "src").mkdir(parents=True)
        (root / "notes.md").write_text("One.\nTwo.\n", "utf-8")
        (root / "src" / "page.html").write_text("<!doctype html>\n", "utf-8")
        (root / "raw.bin").write_bytes(b"\xff\x00\xfe")
        return FileSystem(root)


class TestReadOnlyFileSystem(TestFileSystem):
    """Only the tools that read."""

    calls = TestFileSystem.calls[1:]

    @pytest.fixture
    def protocol(self, tmp_path: Path) -> ToolProtocol:
        root = tmp_path / "root"
        (root / "src").mkdir(parents=True)
        (root / "notes.md").write_text("One.\n", "utf-8")
        (root / "src" / "page.html").write_text("", "utf-8")
        return FileSystem(root, read_only=True)
