"""Thought chains in JSON Lines files: hash-chained, locked, verified on opening, with signed heads kept elsewhere."""

from cloudllm_core import hookimpl

from .autocommit import AutoCommit
from .chain import JsonlThoughts
from .failures import TamperedThoughtsError, ThoughtsFileError
from .heads import CutThoughtsError, Head
from .verdict import Verdict, verify

__all__ = [
    "AutoCommit",
    "CutThoughtsError",
    "Head",
    "JsonlThoughts",
    "TamperedThoughtsError",
    "ThoughtsFileError",
    "Verdict",
    "verify",
]


@hookimpl
def cloudllm_register_thought_chain() -> type[JsonlThoughts]:
    return JsonlThoughts


@hookimpl
def cloudllm_register_event_sink() -> type[AutoCommit]:
    return AutoCommit
