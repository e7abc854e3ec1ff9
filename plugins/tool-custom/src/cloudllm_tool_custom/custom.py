"""Tools that come and go at run time."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import attrs

from cloudllm_core import Functions, Tool, ToolContext, ToolDefinition, tool
from cloudllm_core.errors import SettingsError, SetupError, ToolSchemaError, near_miss

from ._definitions import check_definition, definition_of


class CustomTools(Functions):
    """
    Functions as tools, registered and removed while the program runs.

    An agent that has it asks for the definitions when it is added: after a change, remove it and add it again.
    """

    name: ClassVar[str] = "custom"

    def __init__(self, functions: Iterable[Callable[..., Any]] = (), name: str = "custom") -> None:
        """
        Args:
            functions: to begin with; see `register`.
            name: what errors call it, and what an agent removes it by.
        """
        super().__init__((), name)
        self._registered: dict[str, Tool[..., Any]] = {}
        for fn in functions:
            self.register(fn)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Raises: SettingsError: always, for plain data holds no functions."""
        hint = "Make one in Python: CustomTools([search]), and give it to an agent as tools=[...]."
        raise SettingsError("custom", "a name or a table", "functions, which only a program can give", hint)

    def register(self, fn: Callable[..., Any], *, name: str | None = None, **options: Any) -> Tool[..., Any]:
        """
        Add a function, sync or async, by its annotations and docstring; also as ``@tools.register``.

        Args:
            fn: a typed function, or one that `@tool` has made a tool.
            name: what models call it; its own name if not given.
            options: as of `@tool` (effect, timeout, needs ...), for a function that is none yet.

        Returns:
            The tool, which may be called as the function was.

        Raises:
            ToolSchemaError: it cannot become a tool, or there is one of its name.
        """
        if not isinstance(fn, Tool):
            return self._add(tool(name=name, **options)(fn))
        if options:
            problem = f"it is one already, and {', '.join(options)} came with it"
            raise ToolSchemaError(fn.definition.name, problem, "Give them to @tool, or register the function.")
        if fn.needs_self:
            known_as = fn.definition.name
            raise ToolSchemaError(known_as, "it is a method without its object", f"Register thing.{known_as}.")
        if name is None:
            return self._add(fn)
        definition_of(is_async=fn.is_async, name=name)
        renamed = copy.copy(fn)
        renamed.definition = attrs.evolve(fn.definition, name=name)
        return self._add(renamed)

    def register_definition(self, definition: ToolDefinition, fn: Callable[..., Any]) -> Tool[..., Any]:
        """
        Add a tool by a definition of its own; *fn* is called with the arguments by name.

        Raises:
            ToolSchemaError: the definition is wrong, *fn* cannot take its arguments, or there is one of its name.
        """
        return self._add(Tool(fn, check_definition(definition, fn), {}))

    def register_json(
        self, name: str, description: str, parameters: Mapping[str, Any], fn: Callable[..., Any], **options: Any
    ) -> Tool[..., Any]:
        """
        Add a tool whose arguments are told by a JSON Schema.

        Args:
            parameters: the JSON Schema of an object, kept whole.
            options: as of `@tool` (effect, timeout, needs ...).

        Raises:
            ToolSchemaError: as `register_definition`.
        """
        is_async = inspect.iscoroutinefunction(fn)
        definition = definition_of(is_async=is_async, name=name, description=description, **options)
        return self.register_definition(attrs.evolve(definition, parameters=parameters), fn)

    def remove(self, name: str) -> Tool[..., Any]:
        """Take a tool away; a call on its way ends as it would. Raises: SetupError: there is none of that name."""
        if name not in self._registered:
            raise SetupError(self._missing(name))
        return self._registered.pop(name)

    def tools(self) -> Sequence[ToolDefinition]:
        return [made.definition for made in self._registered.values()]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        if tool not in self._registered:
            raise LookupError(self._missing(tool))
        return await self._registered[tool].perform(arguments, context)

    def _add(self, made: Tool[..., Any]) -> Tool[..., Any]:
        name = made.definition.name
        if name in self._registered:
            problem = f"{self.name} has one of this name ({_origin(self._registered[name])}; this is {_origin(made)})"
            raise ToolSchemaError(name, problem, "Remove that one first, or give this one another name.")
        self._registered[name] = made
        return made

    def _missing(self, name: str) -> str:
        known = ", ".join(self._registered) or "none"
        return f"There is no tool {name!r} in {self.name} ({known}). {near_miss(name, list(self._registered))}".rstrip()


def _origin(made: Tool[..., Any]) -> str:
    """Where a tool's function comes from, for people."""
    fn = made.fn
    qualname = getattr(fn, "__qualname__", type(fn).__qualname__)
    return f"{getattr(fn, '__module__', type(fn).__module__)}.{qualname}"
