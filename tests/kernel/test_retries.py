"""Model calls that are made again: decided by their provider, waited for, counted and journalled by the kernel."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from cloudllm_core import (
    Agent,
    Limits,
    Message,
    Orchestration,
    Provider,
    Registry,
    RunResult,
    hookimpl,
    validate_history,
)
from cloudllm_core._run import Conditions
from cloudllm_core.errors import LimitReachedError, Overloaded, ProviderError, RateLimited
from cloudllm_core.events import AgentRetried, LLMCallStarted
from cloudllm_core.testing import Eavesdropper, ScriptedProvider, VirtualLoop, run_virtually
from tests.kernel.stories import InTurn


class Patient(ScriptedProvider):
    """Tries again *times* times, after 2, 4, 8 ... seconds."""

    def __init__(self, *lines: Any, times: int = 2) -> None:
        super().__init__(*lines)
        self.times, self.told = times, []  # type: ignore[var-annotated]

    def retry(self, problem: ProviderError, attempt: int) -> float | None:
        self.told.append((type(problem).__name__, attempt))
        return 2.0**attempt if attempt <= self.times else None


def play(provider: Provider, **options: Any) -> tuple[RunResult, list[Any], float, Agent]:
    """The result, the events, how long it took, and the agent; the run's replay must give the same."""
    ada = Agent("ada", provider, registry=Registry.of())
    team = Orchestration([ada], InTurn(), registry=Registry.of(), **options)

    async def main(loop: VirtualLoop) -> tuple[RunResult, list[Any], float]:
        run = team.run("Go.", conditions=Conditions(clock=loop.wall))
        result = await run
        took = loop.time()
        again = await team.replay(run.records)
        assert result.messages == again.messages
        assert took == loop.time(), "a replay waits for nothing"
        return result, [record.event for record in run.records], took

    return (*run_virtually(main), ada)


BUSY = Overloaded("too busy")
SLOW = RateLimited("slow down")


def test_a_failed_call_is_made_again_after_the_wait() -> None:
    """The provider says how long; both failures are announced, and the turn goes on as if nothing had happened."""
    provider = Patient(BUSY, SLOW, "Here.")
    result, events, took, ada = play(provider)

    assert ["Here."] == [reply.text for reply in result.messages]
    assert 6.0 == took
    assert [(1, 2.0, "Overloaded: The provider: too busy."), (2, 4.0, "RateLimited: The provider: slow down.")] == [
        (event.attempt, event.wait, event.error) for event in events if isinstance(event, AgentRetried)
    ]
    assert [1, 1, 1] == [event.iteration for event in events if isinstance(event, LLMCallStarted)]
    assert [("Overloaded", 1), ("RateLimited", 2)] == provider.told
    assert [Message.user("Go."), Message.assistant("Here.")] == list(ada.session.messages)
    validate_history(ada.session.messages)


def test_the_last_failure_fails_the_turn() -> None:
    """When the provider gives up, its last error is the turn's."""
    result, events, took, ada = play(Patient(BUSY, BUSY, SLOW))

    assert "failed" == result.stop_reason
    assert "Agent 'ada' failed: RateLimited: The provider: slow down." == str(result.error)
    assert (6.0, 2) == (took, sum(isinstance(event, AgentRetried) for event in events))
    assert 0 == ada.session_history_len


def test_by_default_nothing_is_retried() -> None:
    """A provider that says nothing about retries gets none."""
    result, events, took, _ = play(ScriptedProvider(BUSY, "never"))

    assert ("failed", 0.0) == (result.stop_reason, took)
    assert [] == [event for event in events if isinstance(event, AgentRetried)]


def test_each_attempt_counts_as_a_call() -> None:
    """A limit on calls is not passed by trying again."""
    result, _, _, _ = play(Patient(BUSY, BUSY, "never", times=9), limits=Limits(calls=2))

    assert "limit" == result.stop_reason
    assert isinstance(result.error, LimitReachedError)


def test_the_deadline_of_the_run_ends_the_waiting() -> None:
    """A wait that is longer than the run may last is cut short."""
    result, _, took, _ = play(Patient(BUSY, BUSY, BUSY, times=9), limits=Limits(seconds=5))

    assert ("limit", 5.0) == (result.stop_reason, took)


def test_a_streamed_attempt_says_which_it_is() -> None:
    """Text of an earlier attempt is void; whoever listens can tell."""

    class Breaking(Patient):
        async def stream(self, request: Any, emit: Any) -> Any:
            emit("content", "Half a")
            return await super().stream(request, emit)

    ear = Eavesdropper()
    play(Breaking(BUSY, "Whole."), sinks=[ear])

    assert [(1, "Half a"), (2, "Half a"), (2, "Whole.")] == [(signal.attempt, signal.text) for signal in ear.signals]  # type: ignore[attr-defined]


# -- the plugin `resilient` ---------------------------------------------------


class Echo(ScriptedProvider):
    name: ClassVar[str] = "echo"

    def __init__(self) -> None:
        super().__init__("echo")


class Wrapped(Provider):
    name: ClassVar[str] = "resilient"

    def __init__(self, inner: Provider, settings: Any) -> None:
        self.inner, self.settings = inner, settings

    @classmethod
    def around(cls, inner: Provider, settings: Any, registry: Registry) -> Provider:
        return cls(inner, settings)

    async def complete(self, request: Any) -> Any:
        return await self.inner.complete(request)


class Echoes:
    @hookimpl
    def cloudllm_register_provider(self) -> type[Provider]:
        return Echo


class Resilience:
    @hookimpl
    def cloudllm_register_provider(self) -> type[Provider]:
        return Wrapped


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("echo:x", {}),
        ({"name": "echo:x", "resilience": True}, {}),
        ({"name": "echo:x", "resilience": {"attempts": 3}}, {"attempts": 3}),
    ],
)
def test_where_it_is_installed_a_named_model_is_wrapped(spec: Any, settings: Any) -> None:
    """A plain name gets retries and the rest, with settings of its own if it has any."""
    provider, model = Registry.of(Echoes(), Resilience()).resolve_provider(spec)

    assert isinstance(provider, Wrapped)
    assert (Echo, settings, "x") == (type(provider.inner), provider.settings, model)


def test_without_it_or_by_choice_a_provider_is_bare() -> None:
    """The plugin can be left out, for all or for one."""
    bare = {"name": "echo:x", "resilience": False}

    assert isinstance(Registry.of(Echoes()).resolve_provider("echo:x")[0], Echo)
    assert isinstance(Registry.of(Echoes(), Resilience()).resolve_provider(bare)[0], Echo)
