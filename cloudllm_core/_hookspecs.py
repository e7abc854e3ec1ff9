"""
The questions the kernel asks its plugins, one hook per kind.

An author marks one function per kind with `hookimpl` and names its module in the entry-point group
``cloudllm.<kind>``, under the name that users type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pluggy import HookimplMarker, HookspecMarker

from ._contracts import Mode, Provider, ToolProtocol
from ._images import ImageGenerator
from ._outlets import Command, EventSink, Journal
from ._prices import PriceBook
from ._stores import Store
from ._strategies import ContextStrategy
from ._thoughts import ThoughtChain

hookspec = HookspecMarker("cloudllm")
hookimpl = HookimplMarker("cloudllm")


@hookspec
def cloudllm_register_provider() -> type[Provider] | None:
    """
    Offer a way to reach a family of models.

    Asked when a model of yours is first named: your ``name`` is the word before the colon.
    Return a concrete subclass of `Provider`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_tool_protocol() -> type[ToolProtocol] | None:
    """
    Offer a source of tools.

    Asked when an agent is first given your tools by name.
    Return a concrete subclass of `ToolProtocol`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_mode() -> type[Mode] | None:
    """
    Offer a way for agents to work together.

    Asked when your mode is first named; users may also pass an instance and never name it.
    Return a concrete subclass of `Mode`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_context_strategy() -> type[ContextStrategy] | None:
    """
    Offer a way to keep sessions within their budget.

    Asked when an agent is first given your strategy by name.
    Return a concrete subclass of `ContextStrategy`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_event_sink() -> type[EventSink] | None:
    """
    Offer a place for records to go.

    Asked when an orchestration is first given your sink by name.
    Return a concrete subclass of `EventSink`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_journal() -> type[Journal] | None:
    """
    Offer a way to keep a run's journal.

    Asked when a run is first to be kept, replayed or read by your name.
    Return a concrete subclass of `Journal`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_store() -> type[Store] | None:
    """
    Offer a place for what agents and processes share.

    Asked when a mode or a tool is first given your store by name.
    Return a concrete subclass of `Store`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_thought_chain() -> type[ThoughtChain] | None:
    """
    Offer a place for an agent's own notes.

    Asked when an agent is first given your chain by name.
    Return a concrete subclass of `ThoughtChain`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_price_book() -> type[PriceBook] | None:
    """
    Offer what tokens cost.

    Asked when an orchestration is first given your prices by name, or limits its cost.
    Return a concrete subclass of `PriceBook`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_image_generator() -> type[ImageGenerator] | None:
    """
    Offer a way to make images.

    Asked when a tool or a user first names your generator: your ``name`` is the word before the colon.
    Return a concrete subclass of `ImageGenerator`.
    None: nothing here, for instance on a platform you do not support.
    """


@hookspec
def cloudllm_register_command() -> type[Command] | None:
    """
    Offer a word of the command line.

    Asked when a user types it after ``cloudllm``, or asks what the words mean.
    Return a concrete subclass of `Command`.
    None: nothing here, for instance on a platform you do not support.
    """


KINDS: Final[Mapping[str, type[Any]]] = {
    "provider": Provider,
    "tool_protocol": ToolProtocol,
    "mode": Mode,
    "context_strategy": ContextStrategy,
    "event_sink": EventSink,
    "journal": Journal,
    "store": Store,
    "thought_chain": ThoughtChain,
    "price_book": PriceBook,
    "image_generator": ImageGenerator,
    "command": Command,
}
"""What a plugin may offer, and the class that an offer extends; the hook is ``cloudllm_register_<kind>``."""
