"""The wrapper: another provider, with patience, substitutes and a gate."""

from __future__ import annotations

import contextlib
import random as dice
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Self, TypeAlias

import attrs

from cloudllm_core import Completion, Emit, Provider, Registry, Request, Secret, default_registry
from cloudllm_core.errors import BadRequest, ContentFiltered, ProviderError, SettingsError, near_miss

from .gate import Gates
from .patience import PARTIAL, Patience

Call: TypeAlias = Callable[[Provider, Request], Awaitable[Completion]]

_SETTINGS = ("attempts", "first", "longest", "seconds", "fallback", "gate", "maximum")
NOTED = 0.1
"""Seconds at the gate that are worth an event."""

_OWN_FAULT = (BadRequest, ContentFiltered)
"""What another model would not, or should not, mend."""


def _shown(value: Any) -> str:
    """*value* in an error: a table, which may hold a key, is only named."""
    return repr(value) if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


def _resolved(fallback: Any, registry: Registry | None, where: str) -> tuple[tuple[Provider, str], ...]:
    if isinstance(fallback, (str, bytes, Mapping)) or not isinstance(fallback, Sequence):
        raise SettingsError(where, _shown(fallback), "a list of models", "Write: fallback = ['openai:gpt-5']")
    models: list[tuple[Provider, str]] = []
    for number, item in enumerate(fallback):
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], Provider) and isinstance(item[1], str):
            models.append(item)
        elif isinstance(item, (str, Mapping)):
            spec = {"name": item} if isinstance(item, str) else dict(item)
            found = (registry or default_registry()).resolve_provider(
                {**spec, "resilience": False}, f"{where}[{number}]"
            )
            models.append(found)
        else:
            expected = "'provider:model', a table with such a 'name', or a pair of a provider and a model's name"
            raise SettingsError(f"{where}[{number}]", _shown(item), expected)
    return tuple(models)


class Resilient(Provider):
    """
    *inner*, but a call that fails is made again where that may help, by another model if there is one, and no more
    calls are made at once than the provider takes.

    Args:
        inner: the provider to wrap; its name is this one's.
        attempts: how many times a call is made in all.
        first: the longest first wait, in seconds; see `Patience`.
        longest: the longest wait, in seconds. Where the server asks for more, the call fails at once.
        seconds: how long all waits of one call may last together.
        fallback: models that are asked at once, in this order, when *inner* fails: ``"openai:gpt-5"``, a table with
            such a ``name``, or a pair of a provider and a model's name.
        gate: whether the calls of all agents pass one gate, see `Gate`.
        maximum: how many calls the gate lets in at once at most.
        random: draws from 0 to 1.

    Raises:
        ValueError: a number is out of range. SettingsError: *fallback* is not a list of models.
    """

    name: ClassVar[str] = "resilient"

    def __init__(
        self,
        inner: Provider,
        *,
        attempts: int = 4,
        first: float = 1.0,
        longest: float = 60.0,
        seconds: float = 300.0,
        fallback: Sequence[str | Mapping[str, Any] | tuple[Provider, str]] = (),
        gate: bool = True,
        maximum: int = 1000,
        random: Callable[[], float] = dice.random,
    ) -> None:
        for name, value, least in (("attempts", attempts, 1), ("maximum", maximum, 1), ("first", first, 0),
                                   ("longest", longest, 0), ("seconds", seconds, 0)):  # fmt: skip
            if not value >= least:
                raise ValueError(f"{name!r} must be {least} or more, not {value}")
        self.inner = inner
        self.name = inner.name  # type: ignore[misc] # the journal shall say who it is
        self.patience = Patience(attempts=attempts, first=first, longest=longest, seconds=seconds, random=random)
        self.fallback = _resolved(fallback, None, "fallback")
        self._gates = Gates(maximum, longest) if gate else None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Refused: there is nothing to wrap. Use `around`, or the class itself."""
        hint = (
            "Wherever it is installed, each named model is wrapped; settings go with the model: model = { name = "
            '"openai:gpt-5", resilience = { attempts = 3 } }. In Python: Resilient(provider, attempts=3).'
        )
        raise SettingsError("resilient", "'resilient', which wraps a provider and is none itself", "a provider", hint)

    @classmethod
    def around(cls, inner: Provider, settings: Any, registry: Registry) -> Self:
        """
        Wrap *inner* as a model's table ``resilience = { ... }`` says; *registry* has the fallback models.

        Raises:
            SettingsError: a setting is unknown (with the near miss) or wrong. PluginError: as `Registry.get`.
        """
        where = "resilience"
        if not isinstance(settings, Mapping):
            raise SettingsError(
                where, _shown(settings), "true, false or a table", f"It may hold {', '.join(_SETTINGS)}."
            )
        for key in settings:
            if key not in _SETTINGS:
                known = f"one of {', '.join(_SETTINGS)}"
                raise SettingsError(
                    f"{where}.{key}", f"the unknown setting {key!r}", known, near_miss(str(key), _SETTINGS)
                )
        fallback = _resolved(settings.get("fallback", ()), registry, f"{where}.fallback")
        try:
            return super().from_settings({**settings, "fallback": fallback, "inner": inner})
        except SettingsError as error:
            error.where = f"{where}.{error.where}"
            raise

    async def complete(self, request: Request) -> Completion:
        return await self._by_any(request, lambda provider, own: provider.complete(own), lambda: True)

    async def stream(self, request: Request, emit: Emit) -> Completion:
        silent = True

        def heard(sort: Any, text: str) -> None:
            nonlocal silent
            silent = False
            emit(sort, text)

        try:
            return await self._by_any(
                request, lambda provider, request: provider.stream(request, heard), lambda: silent
            )
        except ProviderError as problem:
            if not silent:
                problem.add_note(PARTIAL)
            raise

    def retry(self, problem: ProviderError, attempt: int) -> float | None:
        """The shortest wait after which one of the models may answer; see `Patience`."""
        causes = [problem]
        if isinstance(problem.__cause__, ExceptionGroup) and PARTIAL not in getattr(problem, "__notes__", ()):
            causes = [cause for cause in problem.__cause__.exceptions if isinstance(cause, ProviderError)]
        waits = [self.patience.wait(cause, attempt) for cause in causes]
        return min((wait for wait in waits if wait is not None), default=None)

    async def models(self) -> tuple[str, ...]:
        return await self.inner.models()

    def secrets(self) -> list[Secret]:
        return [secret for provider in (self.inner, *(p for p, _ in self.fallback)) for secret in provider.secrets()]

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:
            for provider, _ in ((self.inner, ""), *self.fallback):
                stack.push_async_callback(provider.aclose)

    async def _by_any(self, request: Request, call: Call, may_go_on: Callable[[], bool]) -> Completion:
        """The answer of the first model that gives one."""
        problems: list[tuple[str, ProviderError]] = []
        for number, (provider, model) in enumerate(((self.inner, request.model), *self.fallback)):
            who = f"{provider.name}:{model}"
            # another model's call is another call
            own = attrs.evolve(request, model=model, key=f"{request.key}/{number}" if number else request.key)
            try:
                async with self._passing(number, model) as waited:
                    completion = await call(provider, own)
            except ProviderError as problem:
                problems.append((who, problem))
                if not may_go_on() or isinstance(problems[0][1], _OWN_FAULT):
                    break
            else:
                if waited >= NOTED:
                    completion = attrs.evolve(completion, waited=round(waited, 3))
                if not number:
                    return completion
                return attrs.evolve(completion, model=completion.model or model, provider=provider.name)
        raise _together(problems)

    def _passing(self, number: int, model: str) -> contextlib.AbstractAsyncContextManager[float]:
        return contextlib.nullcontext(0.0) if self._gates is None else self._gates.before((number, model)).passing()


def _together(problems: Sequence[tuple[str, ProviderError]]) -> ProviderError:
    """One error for all *problems*: the first as it is if it is the only one, else of its class and its facts."""
    first = problems[0][1]
    if len(problems) == 1:
        return first
    told = "; ".join(f"{who} failed: {type(problem).__name__}: {_said(problem)}" for who, problem in problems)
    error = type(first)(
        told, first.provider, first.model, first.status, first.request_id, first.hint, first.retry_after
    )
    error.__cause__ = ExceptionGroup("no model answered", [problem for _, problem in problems])
    return error


def _said(problem: ProviderError) -> str:
    return f"{problem.problem} (HTTP {problem.status})" if problem.status else problem.problem
