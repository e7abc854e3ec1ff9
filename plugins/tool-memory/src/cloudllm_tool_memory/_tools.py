"""The tools as a model sees them: names, what they take, what repeating them does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cloudllm_core import ToolDefinition

from ._grammar import ALIASES

VERBS = {
    "P": """\
P key value [ttl]   Store a text under a key, whatever the key held. With ttl, for so many seconds.
                    The value is all that follows the key, spaces, quotes and line breaks included.
                    A ttl may follow one single word, a "quoted text", or a JSON object or list;
                    elsewhere a number at the end belongs to the value.""",
    "G": "G key [META]        Read the value; with META, when it was stored and the seconds it has left.",
    "L": "L [prefix] [META]   List the keys that begin with prefix (a * at its end changes nothing), or all.",
    "D": "D key               Delete the key.",
    "C": "C                   Delete all keys.",
    "T": "T A|K|V             Count the bytes stored: all, of keys, of values.",
    "SPEC": "SPEC                Tell all this.",
}
WRITES = ("P", "D", "C")
REST = """\
The arguments key, value and ttl may take the place of what follows the verb. They are taken exactly as they are.
In the command, a key with spaces stands in double quotes, written as in JSON."""
POOLS = "Keys that begin with teams: can be read, and only the team's own tools change them."

_KEY = {"type": "string", "description": "The key: 1 to 512 printable characters, such as 'plan:title'."}
_PREFIX = {"type": "string", "description": "What the keys begin with; without it, all are listed.", "default": ""}
_TTL = {
    "type": "number",
    "description": "Seconds the value is to be kept; without it, for good.",
    "exclusiveMinimum": 0,
}
_OPTIONS = {
    "command": {"type": "string", "description": "The command, such as 'P plan:title The sea', 'G plan:title' or 'L'."},
    "key": {"type": "string", "description": "The key, instead of one in the command; may hold spaces."},
    "value": {"type": "string", "description": "The value, instead of one in the command; best for long texts."},
    "ttl": _TTL,
}


def specification(verbs: tuple[str, ...]) -> str:
    """What SPEC answers where *verbs* may be used."""
    known = {long: short for long, short in ALIASES.items() if short in verbs}
    aliases = f"{', '.join(known)} are the long forms of {', '.join(known.values())}."
    return "\n".join([*(VERBS[verb] for verb in verbs), aliases, REST, *([POOLS] if "P" in verbs else [])])


def text_tool(verbs: tuple[str, ...], beside: bool) -> ToolDefinition:
    """The tool of text commands; *beside* says that there are the typed ones too, which are to be preferred."""
    writing = "P" in verbs
    said = f"{'Read and write' if writing else 'Read'} memory that agents share, by text commands."
    if beside:
        usage = "; ".join(VERBS[verb].partition("  ")[0] for verb in verbs)
        same = "The memory_... tools do the same without commands: use this one where you are told to GET, PUT or LIST."
        description = f"{said} {same}\n{usage} explains them all."
    else:
        description = f"{said}\n{specification(verbs)}"
    options = _OPTIONS if writing else {name: _OPTIONS[name] for name in ("command", "key")}
    return _tool("idempotent" if writing else "read", "memory", description, ["command"], options)


def typed_tools(writing: bool) -> Iterator[ToolDefinition]:
    """One tool for each thing to do."""
    found = "Read what the shared memory holds under a key: its value, when it was stored, the seconds it has left."
    listed = "List the keys in the shared memory, sorted."
    yield _tool("read", "memory_get", found, ["key"], {"key": _KEY})
    yield _tool("read", "memory_list", listed, [], {"prefix": _PREFIX})
    if writing:
        stored = f"Store a value in the shared memory, whatever its key held before. {POOLS}"
        value = {"description": "Any JSON: a text, a number, a list, an object ..."}
        taken = {"key": _KEY, "value": value, "ttl": _TTL}
        yield _tool("idempotent", "memory_put", stored, ["key", "value"], taken)
        deleted = "Delete a key from the shared memory, if it is there."
        yield _tool("idempotent", "memory_delete", deleted, ["key"], {"key": _KEY})


def _tool(effect: Any, name: str, description: str, required: list[str], properties: dict[str, Any]) -> ToolDefinition:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return ToolDefinition(name=name, description=description, parameters=schema, effect=effect)
