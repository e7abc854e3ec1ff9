"""The tools as a model sees them: names, what they take, what repeating them does."""

from __future__ import annotations

from typing import Any

from cloudllm_core import ToolDefinition

_PATH = {"type": "string", "description": "Path below the root, with '/' between folders, such as 'notes/plan.md'."}
_FOLDER = {"type": "string", "description": "Folder below the root; '.' is the root itself.", "default": "."}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _flag(description: str) -> dict[str, Any]:
    return {"type": "boolean", "description": description, "default": False}


def _line(description: str, least: int = 1) -> dict[str, Any]:
    return {"type": "integer", "description": description, "minimum": least}


def _tool(effect: Any, name: str, description: str, required: str, **parameters: dict[str, Any]) -> ToolDefinition:
    schema = {
        "type": "object",
        "properties": parameters,
        "required": required.split(),
        "additionalProperties": False,
    }
    return ToolDefinition(name=name, description=description, parameters=schema, effect=effect, needs=("files",))


DEFINITIONS = (
    _tool(
        "read",
        "read_file",
        "Read a text file, whole, some of its lines, or some of its bytes (for very large files).",
        "path",
        path=_PATH,
        start_line=_line("First line to read, counted from 1."),
        end_line=_line("Last line to read, itself included."),
        offset=_line("First byte to read, counted from 0; not together with lines.", 0),
        length=_line("How many bytes to read from there; the next part begins at offset + length."),
    ),
    _tool(
        "idempotent",
        "write_file",
        "Write a text file: makes it and its folders, or replaces all it held.",
        "path content",
        path=_PATH,
        content=_text("All that the file shall hold."),
    ),
    _tool(
        "write",
        "append_file",
        "Add text to the end of a file; makes the file and its folders where missing.",
        "path content",
        path=_PATH,
        content=_text("What to add; no line break is put before or after it."),
    ),
    _tool(
        "write",
        "edit_file",
        "Replace one passage of a text file. The old passage must occur in it exactly once.",
        "path old new",
        path=_PATH,
        old=_text("The passage as it stands, spaces and line breaks included.", minLength=1),
        new=_text("What shall stand there instead."),
    ),
    _tool(
        "read",
        "list_directory",
        "List what a folder holds: path, kind (file, directory, link, special) and size in bytes.",
        "",
        path=_FOLDER,
        recursive=_flag("Whether to list what is in its folders too."),
    ),
    _tool(
        "idempotent",
        "create_directory",
        "Make a folder, with the folders above it. One that exists is left as it is.",
        "path",
        path=_PATH,
    ),
    _tool(
        "write",
        "move_file",
        "Move or rename one file. Nothing may be at the new path yet; folders missing on the way are made.",
        "path new_path",
        path=_PATH,
        new_path=_text("Where it shall be, below the root, its name included."),
    ),
    _tool("write", "delete_file", "Delete one file; of a link the link itself.", "path", path=_PATH),
    _tool(
        "write",
        "delete_directory",
        "Delete a folder with everything in it. The root cannot be deleted.",
        "path",
        path=_PATH,
    ),
    _tool(
        "read",
        "file_info",
        "Tell name, path, size in bytes, whether it is a folder, and when it was last modified.",
        "path",
        path=_PATH,
    ),
    _tool("read", "file_exists", "Tell whether a file or folder exists.", "path", path=_PATH),
    _tool(
        "read",
        "search_files",
        "Find files and folders by name, or lines of files that hold some text. Upper and lower case are the same.",
        "query",
        query=_text(
            "A piece of the name, or a pattern such as '*.md' or 'src/**/test_*.py'; with contents plain text to look "
            "for in lines.",
            minLength=1,
        ),
        path=_FOLDER,
        contents=_flag("Whether to search the lines of files instead of their names."),
        names=_text("Look only at files that fit this, such as '*.py'.", minLength=1, maxLength=1024),
    ),
)

SHOWS = frozenset({"read_file", "list_directory", "search_files"})
"""The tools whose results hold what somebody else may have written."""
