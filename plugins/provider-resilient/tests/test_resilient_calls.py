"""The wrapper around scripted providers, alone and in runs of virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from cloudllm_core import (
    Agent,
    Completion,
    Limits,
    Message,
    Mode,
    Orchestration,
    Outcome,
    Provider,
    Registry,
    Request,
    RunResult,
    hookimpl,
)
from cloudllm_core.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    SettingsError,
    StreamTruncated,
)
from cloudllm_core.events import AgentRetried
from cloudllm_core.testing import ScriptedProvider, VirtualLoop, run_virtually
from cloudllm_provider_resilient import Resilient


def ask(model: str = "m", key: str = "") -> Request:
    return Request(model=model, instructions="", messages=(Message.user("Go."),), key=key)


def outcome(provider: Provider, stream: bool = False) -> tuple[Any, list[str]]:
    """What one call brings, or its error, and the pieces streamed."""
    pieces: list[str] = []

    async def main(loop: VirtualLoop) -> Any:
        try:
            if stream:
                return await provider.stream(ask(key="k"), lambda sort, text: pieces.append(text))
            return await provider.complete(ask(key="k"))
        except ProviderError as problem:
            return problem

    return run_virtually(main), pieces


def play(provider: Provider, **options: Any) -> tuple[RunResult, list[AgentRetried], float]:
    """A run of one agent, its retries, and how long it took."""

    class Once(Mode):
        name = "once"

        async def run(self, hub: Any, prompt: str) -> Outcome:
            await hub.ask("ada", prompt)
            return Outcome(complete=True)

    team = Orchestration([Agent("ada", provider, registry=Registry.of())], Once(), registry=Registry.of(), **options)

    async def main(loop: VirtualLoop) -> tuple[RunResult, list[AgentRetried], float]:
        run = team.run("Go.")
        result = await run
        return result, [r.event for r in run.records if isinstance(r.event, AgentRetried)], loop.time()

    return run_virtually(main)


class Cut(ScriptedProvider):
    """Streams half an answer before each line."""

    async def stream(self, request: Request, emit: Any) -> Completion:
        emit("content", "Half ")
        return await super().stream(request, emit)


class Named(ScriptedProvider):
    name = "named"


BUSY, SLOW = Overloaded("too busy", "scripted", "m", 529), RateLimited("slow down", "named", "x", 429, retry_after=7.0)


def test_a_call_is_made_again_until_it_succeeds() -> None:
    """F01: 429 and 529 pass by; the waits are announced and kept."""
    inner = ScriptedProvider(SLOW, BUSY, "Here.")
    result, retried, took = play(Resilient(inner, random=lambda: 0.5))

    assert "Here." == result.messages[-1].text
    assert [7.5, 8.0] == [event.wait for event in retried]
    assert 15.5 == took
    assert 3 == len(inner.requests)


def test_429_for_ever_ends_within_the_budget() -> None:
    """F02: after four attempts, the error is the provider's."""
    result, retried, took = play(Resilient(ScriptedProvider(SLOW, repeat=True), random=lambda: 0.0))

    assert "failed" == result.stop_reason
    assert "Agent 'ada' failed: RateLimited: named:x (HTTP 429): slow down." == str(result.error)
    assert 3 == len(retried)
    assert 21.0 == pytest.approx(took)


def test_the_runs_deadline_cuts_a_wait_short() -> None:
    """A run that may last five seconds waits no longer, whatever the server asks for."""
    result, _, took = play(Resilient(ScriptedProvider(SLOW, repeat=True)), limits=Limits(seconds=5))

    assert ("limit", 5.0) == (result.stop_reason, took)


def test_a_stream_that_fails_before_its_first_piece_is_retried_in_full() -> None:
    """F04: nothing was said, so nothing is lost."""
    provider = Resilient(ScriptedProvider(BUSY), random=lambda: 1.0)
    problem, pieces = outcome(provider, stream=True)

    assert [] == pieces
    assert [4.0, 16.0, 60.0, None] == [provider.retry(problem, attempt) for attempt in range(1, 5)]


@pytest.mark.parametrize("error", [BUSY, StreamTruncated("it broke off")])
def test_a_stream_that_fails_midway_is_retried_once_and_does_not_fall_back(error: ProviderError) -> None:
    """F05: no other model goes on behind half an answer."""
    other = ScriptedProvider("Whole.")
    provider = Resilient(Cut(type(error)("broken")), fallback=[(other, "o")], random=lambda: 1.0)
    problem, pieces = outcome(provider, stream=True)

    assert ["Half "] == pieces
    assert [] == other.requests
    assert type(error) is type(problem)
    assert provider.retry(problem, 1) is not None
    assert provider.retry(problem, 2) is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [BUSY, SLOW, AuthenticationFailed("no credit")])
def test_another_model_answers_at_once(error: ProviderError, stream: bool) -> None:
    """The completion says who answered; the other model's request has its own name and key."""
    other = Named("I can help.")
    provider = Resilient(ScriptedProvider(error), fallback=[(ScriptedProvider(BUSY), "b"), (other, "o")])
    completion, _ = outcome(provider, stream)

    assert ("I can help.", "o", "named") == (completion.message.text, completion.model, completion.provider)
    assert [("o", "k/2")] == [(request.model, request.key) for request in other.requests]


@pytest.mark.parametrize("cls", [BadRequest, ContextTooLong, ContentFiltered])
def test_the_callers_own_errors_do_not_fall_back(cls: type[ProviderError]) -> None:
    """F30: another model would only hide them."""
    other = ScriptedProvider("never")
    problem, _ = outcome(Resilient(ScriptedProvider(cls("no")), fallback=[(other, "o")]))

    assert cls is type(problem)
    assert [] == other.requests


def test_when_all_models_fail_every_cause_is_kept() -> None:
    """F36: in order, in the sentence and as they are; the class and the facts are the first one's."""
    provider = Resilient(ScriptedProvider(BUSY), fallback=[(Named(SLOW), "x")], random=lambda: 0.0)
    problem, _ = outcome(provider)

    assert (
        "scripted:m (HTTP 529): scripted:m failed: Overloaded: too busy (HTTP 529); "
        "named:x failed: RateLimited: slow down (HTTP 429)."
    ) == str(problem)
    assert Overloaded is type(problem)
    assert isinstance(problem.__cause__, ExceptionGroup)
    assert (BUSY, SLOW) == problem.__cause__.exceptions


def test_the_soonest_of_several_models_is_waited_for() -> None:
    """A first model without hope does not keep the other from being tried again."""
    spent = RateLimited("insufficient_quota")
    provider = Resilient(ScriptedProvider(spent), fallback=[(Named(SLOW), "x")], random=lambda: 0.0)
    problem, _ = outcome(provider)

    assert 7.0 == provider.retry(problem, 1)


def test_it_bears_the_inner_name_and_closes_all() -> None:
    """Journals and prices see who it is; closing reaches every model, whatever the others do."""
    closed: list[str] = []

    class Closing(Named):
        async def aclose(self) -> None:
            closed.append("x")
            raise OSError("gone")

    provider = Resilient(Closing(), fallback=[(Closing(), "x")])

    assert "named" == provider.name
    with pytest.raises(OSError, match="gone"):
        run_virtually(lambda loop: provider.aclose())
    assert ["x", "x"] == closed


# -- by name ------------------------------------------------------------------


class Offers:
    @hookimpl
    def cloudllm_register_provider(self) -> type[Provider]:
        return Echo


class Echo(ScriptedProvider):
    name = "echo"

    def __init__(self) -> None:
        super().__init__("echo")


def registry() -> Registry:
    import cloudllm_provider_resilient

    return Registry.of(Offers(), cloudllm_provider_resilient)


def test_a_named_model_is_wrapped_with_its_settings() -> None:
    """Its table says how; fallback models are of the same registry, bare and shared."""
    spec = {"name": "echo:x", "resilience": {"attempts": 6, "first": 2, "fallback": ["echo:y", {"name": "echo:z"}]}}
    provider, model = registry().resolve_provider(spec)

    assert isinstance(provider, Resilient)
    assert ("echo", "x", 6, 2.0) == (provider.name, model, provider.patience.attempts, provider.patience.first)
    assert [(Echo, "y"), (Echo, "z")] == [(type(inner), model) for inner, model in provider.fallback]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"atempts": 3},
            (
                "resilience.atempts: found the unknown setting 'atempts', expected one of attempts, first, longest, "
                "seconds, fallback, gate, maximum. Did you mean 'attempts'?"
            ),
        ),
        ({"attempts": "3"}, "resilience.attempts: found '3', expected a whole number."),
        (
            {"attempts": 0},
            "resilience.attempts: found 0, expected 1 or more.",
        ),
        (
            {"fallback": "echo:y"},
            "resilience.fallback: found 'echo:y', expected a list of models. Write: fallback = ['openai:gpt-5']",
        ),
        (
            {"fallback": [3]},
            (
                "resilience.fallback[0]: found 3, expected 'provider:model', a table with such a 'name', "
                "or a pair of a provider and a model's name."
            ),
        ),
        (
            "yes",
            (
                "resilience: found 'yes', expected true, false or a table. It may hold attempts, first, longest, "
                "seconds, fallback, gate, maximum."
            ),
        ),
    ],
)
def test_wrong_settings_are_told(settings: Any, sentence: str) -> None:
    """Each names its place, what is there, what should be, and the likely intent."""
    with pytest.raises(SettingsError) as caught:
        registry().resolve_provider({"name": "echo:x", "resilience": settings})

    assert caught.value.where.endswith(sentence.partition(":")[0])
    assert str(caught.value).endswith(sentence)


def test_it_is_no_provider_by_name() -> None:
    """There would be nothing to wrap; the error shows the right way."""
    with pytest.raises(SettingsError) as caught:
        registry().resolve_provider("resilient:x")

    assert (
        "model: found 'resilient', which wraps a provider and is none itself, expected a provider. Wherever it is "
        'installed, each named model is wrapped; settings go with the model: model = { name = "openai:gpt-5", '
        "resilience = { attempts = 3 } }. In Python: Resilient(provider, attempts=3)."
    ) == str(caught.value)
