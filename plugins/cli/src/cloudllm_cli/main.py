"""
``cloudllm``: finds the command that was asked for, runs it, and tells errors as sentences.

Exit status: 0 done and complete, 1 not complete, 2 used or set up wrongly, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import structlog

from cloudllm_core import Registry, default_registry
from cloudllm_core.errors import CloudLLMError, JournalError, PluginError, SetupError

from ._parser import Parser

DEBUG = "show the traceback of an error, and the kernel's log"


def main(argv: Sequence[str] | None = None, *, registry: Registry | None = None) -> int:
    """
    Run the command line.

    Args:
        argv: the words after ``cloudllm``; those of this process if None.
        registry: where commands and all else are looked up; a command finds it as ``arguments.registry``,
            and as ``arguments.debug`` whether tracebacks are wanted.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    if argv is None:  # the process is ours, and so is its log
        level = 0 if debug else 50
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
    try:
        words = [word for word in words[:end] if word != "--debug"] + words[end:]
        status = _dispatch(words, registry or default_registry(), debug)
        sys.stdout.flush()  # while a reader that has gone can still be told from a bug
        return status
    except KeyboardInterrupt:
        return _told("Interrupted.", 130)
    except BrokenPipeError:  # whoever read the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would try once more
        return 1
    except Exception as problem:  # noqa: BLE001 -- the last door: whatever it is becomes a sentence
        if debug:
            traceback.print_exception(problem)
        return _told(*_sentence(problem))


def _dispatch(words: list[str], registry: Registry, debug: bool) -> int:
    place = next((nth for nth, word in enumerate(words) if not word.startswith("-")), len(words))
    own = Parser(prog="cloudllm", add_help=False, usage="cloudllm [--debug] COMMAND ...")
    own.add_argument("-h", "--help", action="store_true")
    own.add_argument("--version", action="store_true")
    asked = own.answer(words[:place])
    if asked is None or asked.help:
        print(_help(registry))
        return 0
    if asked.version:
        print(f"cloudllm {_version()}, with cloudllm-core {registry.version}")
        return 0
    if not words[place:]:
        print(_help(registry), file=sys.stderr)
        return 2
    name, *rest = words[place:]
    return _run(name, rest, registry, debug)


def _run(name: str, words: Sequence[str], registry: Registry, debug: bool) -> int:
    command = registry.command(name)()
    parser = Parser(prog=f"cloudllm {name}", description=command.help)
    parser.add_argument("--debug", action="store_true", help=DEBUG)
    command.configure(parser)
    parser.set_defaults(registry=registry, debug=debug)
    arguments = parser.answer(words)
    return 0 if arguments is None else command.run(arguments)


def _help(registry: Registry) -> str:
    commands = {
        plugin.name: _told_of(registry, plugin.name)
        for plugin in registry.plugins()
        if plugin.kind == "command" and plugin.status != "blocked"
    }
    width = max(map(len, commands), default=0)
    lines = [f"  {name:{width}}  {text}" for name, text in commands.items()]
    return "\n".join(
        [
            "usage: cloudllm [--debug] COMMAND ...",
            "",
            "Teams of LLM agents that work together.",
            "",
            "commands:",
            *(lines or ["  none is installed"]),
            "",
            "options:",
            "  -h, --help  this page; after a command, the command's own",
            "  --version   which versions these are",
            f"  --debug     {DEBUG}",
        ]
    )


def _told_of(registry: Registry, name: str) -> str:
    try:
        return registry.command(name).help
    except PluginError as error:
        return f"cannot be used: {error}"


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("cloudllm-cli")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _sentence(problem: Exception) -> tuple[str, int]:
    """What to say of *problem*, and the exit status."""
    if isinstance(problem, (SetupError, PluginError, JournalError)):
        return str(problem), 2
    if isinstance(problem, (CloudLLMError, OSError)):
        return str(problem), 1
    what = f"{type(problem).__name__}: {problem}".rstrip(": .")
    return f"{what}. This is a bug. To see where, run it again with --debug.", 1


def _told(sentence: str, status: int) -> int:
    print(f"cloudllm: {sentence}", file=sys.stderr)
    return status
