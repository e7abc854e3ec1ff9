"""
The registry: which plugins there are, by metadata alone, and the classes they offer, once asked for.

Listing imports nothing. Asking for a name imports that one plugin, checks its answer at the door, and
leaves all others alone.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import os
import threading
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final, Self, cast

import attrs
from pluggy import PluginManager, PluginValidationError

from . import _hookspecs, errors
from ._contracts import Mode, Provider, ToolProtocol
from ._hookspecs import KINDS
from ._installed import Offer, Plugin, Status, fits, installed, kernel_version, normal, told
from ._outlets import Command, EventSink, Journal
from ._prices import PriceBook
from ._settings import hints_of, show
from ._stores import Store
from ._strategies import ContextStrategy
from .errors import BrokenPluginError, PluginError, SettingsError, near_miss

_STATUS: Final[Mapping[type[Exception], Status]] = {
    errors.BlockedPluginError: "blocked",
    errors.IncompatiblePluginError: "incompatible",
    errors.DuplicateNameError: "duplicate",
    BrokenPluginError: "fault",
}
_HOOK: Final = "cloudllm_register_"


@contextmanager
def _blaming(plugin: Plugin, what: str) -> Iterator[None]:
    """Whatever goes wrong inside a plugin, even an exit, becomes an error that names it."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        raise plugin.broken(f"{what}: {told(problem)}") from problem


def _checked(answer: Any, plugin: Plugin) -> type[Any]:
    contract = KINDS[plugin.kind]
    hook, kind, name = f"{_HOOK}{plugin.kind}()", contract.__name__, getattr(answer, "__name__", "")
    if answer is None:
        raise plugin.broken(f"offers nothing here: {hook} returned None", "Its README should say where it works.")
    if not isinstance(answer, type):
        raise plugin.broken(
            f"answers {hook} with {show(answer)}, which is not a class", f"Return a subclass of {kind}."
        )
    if not issubclass(answer, contract):
        raise plugin.broken(f"offers {name}, which is not a {kind}", f"Write: class {name}({kind})")
    if inspect.isabstract(answer):
        missing = ", ".join(sorted(getattr(answer, "__abstractmethods__", ())))
        raise plugin.broken(f"offers {name}, which is abstract", f"Write what it lacks: {missing}.")
    if getattr(answer, "name", None) != plugin.name:
        said = show(getattr(answer, "name", None))
        raise plugin.broken(f"offers {name}, whose name is {said}", f'Write in {name}: name = "{plugin.name}"')
    return answer


def _misfit(thing: object, plugin: Plugin, unknown: Sequence[str], problem: Exception) -> BrokenPluginError:
    if unknown:
        near = near_miss(unknown[0].rpartition("register_")[2], list(KINDS)).replace("'", f"'{_HOOK}", 1)
        remedy = near or f"After {_HOOK} comes one of: {', '.join(KINDS)}."
        return plugin.broken(f"answers the hook {unknown[0]!r}, which does not exist", remedy)
    for hook in [_HOOK + kind for kind in KINDS if hasattr(thing, _HOOK + kind)]:
        if parameters := ", ".join(inspect.signature(getattr(thing, hook)).parameters):
            return plugin.broken(f"has {hook}({parameters}), and the kernel gives no arguments", "Take none.")
    return plugin.broken(f"has a hook that pluggy refuses: {str(problem).splitlines()[-1]}")


# -- the registry -------------------------------------------------------------


def _words(value: str | Iterable[str] | None) -> frozenset[str] | None:
    words = value.split(",") if isinstance(value, str) else value
    return None if words is None else frozenset(normal(word.strip()) for word in words if word.strip())


@attrs.define(eq=False, kw_only=True)
class Registry:
    """
    The plugins of one place, each imported when its name is first asked for.

    Args:
        block: names (``ralph``), kinds with names (``mode:ralph``) or distributions to keep out.
        allow: the same, to keep all others out; None allows all.
        path: where to look for distributions; None is ``sys.path``.
        version: of the kernel that plugins must be built for.
        catalogue: which distribution would bring a kind and name; None is the kernel's own list.
        lists: what a user calls *block* and *allow*.
    """

    block: frozenset[str] | None = attrs.field(default=None, converter=_words)
    allow: frozenset[str] | None = attrs.field(default=None, converter=_words)
    path: Sequence[str] | None = None
    version: str = attrs.field(factory=kernel_version)
    catalogue: Mapping[tuple[str, str], str] | None = None
    lists: tuple[str, str] = ("Registry(block=...)", "Registry(allow=...)")
    _pluggy: PluginManager = attrs.field(init=False, factory=lambda: PluginManager("cloudllm"))
    _found: list[Offer] | None = attrs.field(init=False, default=None)
    _added: dict[int, list[Offer]] = attrs.field(init=False, factory=dict)
    _providers: dict[tuple[str, str], Provider] = attrs.field(init=False, factory=dict, repr=False)
    _lock: Any = attrs.field(init=False, factory=threading.RLock)
    _shared: dict[str, Any] | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._pluggy.add_hookspecs(_hookspecs)

    @classmethod
    def of(cls, *plugins: object) -> Self:
        """A registry of these modules or objects and nothing else; see `add`."""
        registry = cls(path=())
        for plugin in plugins:
            registry.add(plugin)
        return registry

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """A registry of what is installed, less what ``CLOUDLLM_BLOCK`` and ``CLOUDLLM_ALLOW`` keep out."""
        block, allow = environ.get("CLOUDLLM_BLOCK"), environ.get("CLOUDLLM_ALLOW")
        return cls(block=block, allow=allow or None, lists=("CLOUDLLM_BLOCK", "CLOUDLLM_ALLOW"))

    def scope(self) -> Self:
        """This registry, in which the same tools or the same store, named twice, are one: for one team."""
        scope = copy.copy(self)
        scope._shared = {}
        return scope

    def plugins(self) -> tuple[Plugin, ...]:
        """Every offer, by kind and name, with what is wrong with it; imports nothing."""
        told = [
            attrs.evolve(offer.plugin, status=_STATUS[type(error)], problem=str(error)) if error else offer.plugin
            for offer, error in self._judged()
        ]
        return tuple(sorted(told, key=lambda plugin: (plugin.kind, plugin.name, plugin.distribution)))

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of *kind* that may be asked for; imports nothing."""
        may = [plugin for plugin in self.plugins() if plugin.kind == kind and plugin.status not in ("blocked", "fault")]
        return tuple(dict.fromkeys(plugin.name for plugin in may))

    def get(self, kind: str, name: str) -> type[Any]:
        """
        The class of *kind* called *name*; its plugin is imported if need be.

        Raises:
            PluginError: in the subclass that says why there is none to be had.
        """
        with self._lock:
            offer = self._find(kind, name)
            if offer.cls is None:
                from importlib.metadata import EntryPoint

                with _blaming(offer.plugin, "could not be imported"):
                    thing = EntryPoint(name, offer.value, f"cloudllm.{kind}").load()
                self._register(thing, offer.plugin)
                offer.cls = _checked(self._ask(thing, offer.plugin), offer.plugin)
            return offer.cls

    def add(self, thing: object) -> None:
        """
        Take in a plugin of this process: a module, or any object with marked hooks.

        Raises:
            BrokenPluginError: it offers something the kernel cannot use.
        """
        label = getattr(thing, "__name__", None) or type(thing).__name__
        offers = []
        with self._lock:
            self._register(thing, Plugin(kind="plugin", name=label, distribution="this process"))
            for kind in KINDS:
                plugin = Plugin(kind=kind, name=label, distribution=label)
                if self._answers(thing, kind) and (answer := self._ask(thing, plugin)) is not None:
                    name = getattr(answer, "name", None)
                    plugin = attrs.evolve(plugin, name=name if isinstance(name, str) else label)
                    offers.append(Offer(plugin, cls=_checked(answer, plugin)))
            self._added[id(thing)] = offers  # pluggy holds the thing, so the number stays its own

    def _register(self, thing: object, plugin: Plugin) -> None:
        name = str(id(thing))
        if self._pluggy.has_plugin(name):
            return
        try:
            self._pluggy.register(thing, name)
            self._pluggy.check_pending()
        except PluginValidationError as problem:
            callers = self._pluggy.get_hookcallers(thing) or ()
            error = _misfit(thing, plugin, [caller.name for caller in callers if not caller.has_spec()], problem)
            self._pluggy.unregister(name=name)
            raise error from problem

    def _answers(self, thing: object, kind: str) -> list[Any]:
        caller = getattr(self._pluggy.hook, _HOOK + kind)
        return [answer.function for answer in caller.get_hookimpls() if answer.plugin is thing]

    def _ask(self, thing: object, plugin: Plugin) -> Any:
        hook = f"{_HOOK}{plugin.kind}()"
        answers = self._answers(thing, plugin.kind)
        if not answers:
            raise plugin.broken(f"has no {hook} marked with @hookimpl", "Write one that returns the class.")
        with _blaming(plugin, f"failed in {hook}"):
            return answers[0]()

    def _judged(self) -> list[tuple[Offer, PluginError | None]]:
        """Every offer, and why it cannot be used if it cannot."""
        with self._lock:
            if self._found is None:
                self._found = list(installed(self.path, KINDS))
            offers = [*self._found, *[offer for offers in self._added.values() for offer in offers]]
        judged = [(offer, self._objection(offer)) for offer in offers]
        rivals: dict[tuple[str, str], list[str]] = {}
        for offer, error in judged:
            if error is None:
                rivals.setdefault((offer.plugin.kind, offer.plugin.name), []).append(offer.plugin.distribution)
        clashes = {key: errors.DuplicateNameError(*key, (who[0], who[1])) for key, who in rivals.items() if who[1:]}
        return [(offer, error or clashes.get((offer.plugin.kind, offer.plugin.name))) for offer, error in judged]

    def _objection(self, offer: Offer) -> PluginError | None:
        plugin = offer.plugin
        marks = _words([plugin.name, f"{plugin.kind}:{plugin.name}", plugin.distribution]) or frozenset()
        if marks & (self.block or frozenset()):
            return errors.BlockedPluginError(plugin.kind, plugin.name, self.lists[0])
        if self.allow is not None and not marks & self.allow:
            return errors.BlockedPluginError(plugin.kind, plugin.name, self.lists[1])
        if offer.fault is None and not fits(self.version, plugin.api):
            return errors.IncompatiblePluginError(plugin.distribution, plugin.api, self.version)
        return offer.fault

    def _find(self, kind: str, name: str) -> Offer:
        if kind not in KINDS:
            raise errors.UnknownNameError("kind of plugin", kind, tuple(KINDS))
        found = [(o, error) for o, error in self._judged() if (o.plugin.kind, o.plugin.name) == (kind, name)]
        if not found:
            raise errors.UnknownNameError(kind, name, self.names(kind), self._known().get((kind, name)))
        # Being kept out is the answer only where nothing else is wrong.
        offer, error = min(found, key=lambda one: (one[1] is not None, isinstance(one[1], errors.BlockedPluginError)))
        if error is not None:
            raise error
        return offer

    def _known(self) -> Mapping[tuple[str, str], str]:
        if self.catalogue is None:
            from ._catalogue import CATALOGUE

            self.catalogue = CATALOGUE
        return self.catalogue

    # pluggy and `get` cannot say which class belongs to which kind; these can.

    def provider(self, name: str) -> type[Provider]:
        return self.get("provider", name)

    def tool_protocol(self, name: str) -> type[ToolProtocol]:
        return self.get("tool_protocol", name)

    def mode(self, name: str) -> type[Mode]:
        return self.get("mode", name)

    def context_strategy(self, name: str) -> type[ContextStrategy]:
        return self.get("context_strategy", name)

    def event_sink(self, name: str) -> type[EventSink]:
        return self.get("event_sink", name)

    def journal(self, name: str) -> type[Journal]:
        return self.get("journal", name)

    def store(self, name: str) -> type[Store]:
        return self.get("store", name)

    def command(self, name: str) -> type[Command]:
        return self.get("command", name)

    def build(self, kind: str, spec: Any, where: str = "") -> Any:
        """
        What *spec* stands for: a name, a table with a ``name`` and settings, or the thing itself.

        A setting whose annotation is a contract (a strategy inside a strategy, the store of a tool) may be
        given in the same ways. ``name:text`` is short for a table with that text as the kind's `shorthand`.

        Args:
            kind: any but ``journal`` and ``command``, which are not made from settings.
            where: the place of *spec*, for errors; the kind if empty.

        Raises:
            SettingsError: it is none of these, or its settings are wrong. PluginError: as `get`.
        """
        where, cls = where or kind, KINDS[kind]
        if isinstance(spec, cls):
            return spec
        name, settings = _named(spec, where, f"a name, a table with a 'name', or an instance of {cls.__name__}")
        name, colon, location = name.partition(":")
        if colon:
            if not location.strip():
                raise SettingsError(where, show(f"{name}:"), f"{name}:{cls.shorthand.upper()}")
            settings[cls.shorthand] = location
        if self._shared is None or kind not in ("tool_protocol", "store"):
            return self._made(kind, name, settings, where)
        if (key := json.dumps([kind, name, settings], sort_keys=True, default=repr)) not in self._shared:
            self._shared[key] = self._made(kind, name, settings, where)
        return self._shared[key]

    def prices(self, spec: Any, wanted: bool) -> PriceBook | None:
        """The price book that *spec* stands for; without one, where prices are *wanted*, whichever is installed."""
        spec = next(iter(self.names("price_book")), None) if spec is None and wanted else spec
        return None if spec is None else self.build("price_book", spec, "prices")

    def resolve_provider(self, spec: str | Mapping[str, Any] | Provider, where: str = "model") -> tuple[Provider, str]:
        """
        The provider that *spec* names, shared by all with the same options, and the model's name.

        Args:
            spec: ``"openai:gpt-5"``, a table with such a ``name`` and the provider's options, or a provider,
                which goes with an empty name.

        Raises:
            SettingsError: *spec* is none of these, or an option is wrong. PluginError: as `get`.
        """
        if isinstance(spec, Provider):
            return spec, ""
        form = "text of the form 'provider:model'"
        name, options = _named(spec, where, f"{form}, a table with such a 'name', or an instance of Provider")
        provider, _, model = name.partition(":")
        if not provider or not model:
            hint = f"Installed providers: {', '.join(self.names('provider')) or 'none'}."
            raise SettingsError(where if isinstance(spec, str) else f"{where}.name", show(name), form, hint)
        key = provider, json.dumps(options, sort_keys=True, default=repr)
        with self._lock:
            if key not in self._providers:
                self._providers[key] = self._resilient(provider, options, where)
            return self._providers[key], model

    def _resilient(self, name: str, options: dict[str, Any], where: str) -> Provider:
        """The provider *name*, with the retries and fallbacks of the plugin ``resilient`` where that is installed."""
        resilience = options.pop("resilience", {})
        provider: Any = self._made("provider", name, options, where)
        if resilience is not False and name != "resilient" and "resilient" in self.names("provider"):
            wrapper: Any = self.get("provider", "resilient")
            try:
                provider = wrapper.around(provider, {} if resilience is True else resilience, self)
            except SettingsError as error:
                error.where = f"{where}.{error.where}"
                raise
        return cast(Provider, provider)

    def _made(self, kind: str, name: str, settings: Mapping[str, Any], where: str) -> Any:
        cls = self.get(kind, name)
        hints = hints_of(cls)
        for key, value in settings.items():
            inner = next((kind for kind, cls in KINDS.items() if _asks_for(hints.get(key), cls)), None)
            if inner is not None and value is not None:
                settings = {**settings, key: self.build(inner, value, f"{where}.{key}")}
        try:
            return cls.from_settings(settings)
        except SettingsError as error:
            error.where = where if error.where == name else f"{where}.{error.where}"
            raise

    async def aclose(self) -> None:
        """Close the connections of the providers that `resolve_provider` made, each whatever the others do."""
        async with AsyncExitStack() as stack:
            for provider in self._providers.values():
                stack.push_async_callback(provider.aclose)


def _asks_for(hint: Any, cls: type[Any]) -> bool:
    """Whether the annotation *hint* takes a *cls* and no text that would name one."""
    return hint is cls or (cls in (choices := typing.get_args(hint)) and str not in choices)


def _named(spec: Any, where: str, expected: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(spec, (str, Mapping)):
        hint = f"Make one of the class: {spec.__name__}(...)" if isinstance(spec, type) else ""
        raise SettingsError(where, show(spec), expected, hint)
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise SettingsError(f"{where}.name", show(name), "text")
    return name, settings


@functools.cache
def default_registry() -> Registry:
    """The registry of this process, by its environment; made when first asked for."""
    return Registry.from_environment(os.environ)
