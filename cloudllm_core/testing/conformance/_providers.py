"""The contract of providers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import typing
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import attrs
import pytest

from ..._contracts import Provider, Request, ToolDefinition
from ..._history import validate_history
from ..._messages import Completion, Message, StopReason, ToolCall, ToolResult
from ...errors import ProviderError
from ._chance import ODD_TEXTS

T = TypeVar("T")

LOOK = ToolDefinition(
    name="look",
    description="Look at something.",
    parameters={"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
)


class ProviderContract:
    """
    What every provider promises. Subclass it and write the fixture ``provider``.

    Let that provider answer the same to the same request, without leaving this machine; best, let the
    answer hold the request's last words, so that a mixed-up answer shows. Write the fixture ``failing``
    too, and override `request` where ``model`` alone is not enough.
    """

    model: ClassVar[str] = "m"
    """A model that the provider under test answers for."""

    sdks: ClassVar[Sequence[str]] = (
        "aiohttp", "anthropic", "boto3", "google.genai", "grpc", "httpx", "httpx2", "mistralai", "openai", "requests",
    )  # fmt: skip
    """What importing the provider must not import; it waits for the first call."""

    steps: ClassVar[int] = 40
    """At how many moments of a call the claims cancel it."""

    @pytest.fixture
    def provider(self) -> Provider:
        """The provider under test, which answers."""
        raise NotImplementedError("Write a fixture `provider` that returns an instance of your provider.")

    @pytest.fixture
    def failing(self) -> Sequence[Provider]:
        """Providers each of whose calls must fail: a false key, a dead server, a broken stream ..."""
        return ()

    def request(self, text: str) -> Request:
        """A request whose last words are *text*."""
        return Request(model=self.model, instructions="You are Ada.", messages=(Message.user(text),))

    def test_has_a_name(self, provider: Provider) -> None:
        """Users write it before a colon, so it is one plain lower-case word."""
        assert provider.name.replace("-", "").isalnum()
        assert provider.name == provider.name.lower()

    def test_completes(self, provider: Provider) -> None:
        """An answer is an assistant's message that may stand in a history, with a stop reason all providers share."""
        request = self.request("Say number 1.")
        answer = finish(provider, provider.complete(request))

        assert isinstance(answer, Completion)
        assert answer.stop in typing.get_args(StopReason)
        assert (answer.stop == "tool_use") == bool(answer.message.tool_calls)
        results = [ToolResult(made.id, "done") for made in answer.message.tool_calls]
        validate_history([*request.messages, answer.message, *([Message.tool(results)] if results else [])])
        assert answer == Completion.from_json(json.loads(json.dumps(answer.to_json()))), "it is plain data"
        if answer.usage is not None:
            assert min(answer.usage.to_json().values()) >= 0
            assert answer.usage.reasoning <= answer.usage.output

    def test_streams_what_it_completes(self, provider: Provider) -> None:
        """`stream` returns what `complete` returns."""
        whole = finish(provider, provider.complete(self.request("Say number 1.")))
        streamed = finish(provider, provider.stream(self.request("Say number 1."), lambda sort, text: None))

        assert gist(whole) == gist(streamed)

    def test_pieces_join_to_the_text(self, provider: Provider) -> None:
        """What is emitted as content is, end to end, the answer's text."""
        pieces: list[tuple[str, str]] = []
        request = self.request("Say number 1.")
        answer = finish(provider, provider.stream(request, lambda sort, text: pieces.append((sort, text))))

        assert {sort for sort, _ in pieces} <= {"content", "reasoning"}
        assert answer.message.text == "".join(text for sort, text in pieces if sort == "content")
        assert "" not in [text for _, text in pieces]

    def test_takes_any_history(self, provider: Provider) -> None:
        """Calls with results, and the oddest text, are answered or refused as a `ProviderError`; nothing else."""
        for text in (*ODD_TEXTS, "x" * 100_000):
            made = ToolCall("call_1", "look", {"at": text})
            messages = (
                Message.user(text or "(nothing)"),
                Message.assistant(text, made),
                Message.tool([ToolResult("call_1", text, is_error=True)]),
                Message.assistant(text or "(nothing)"),
                Message.user("Say number 1."),
            )
            request = attrs.evolve(self.request("Say number 1."), messages=messages, tools=(LOOK,), key="run/ada/1")
            before = json.dumps(request.messages, default=lambda message: message.to_json())
            answer = answer_or_error(provider, request)

            assert isinstance(answer, (Completion, ProviderError)), repr(answer)
            assert before == json.dumps(request.messages, default=lambda message: message.to_json()), "it was changed"

    def test_lets_only_provider_errors_out(self, failing: Sequence[Provider]) -> None:
        """Whatever goes wrong, whole or streamed, comes out as a `ProviderError` with a sentence."""
        for provider in failing:
            for stream in (False, True):
                problem = answer_or_error(provider, self.request("Say number 1."), stream=stream)

                assert isinstance(problem, ProviderError), repr(problem)
                assert problem.problem
                assert str(problem).endswith((".", "!", "?"))

    def test_passes_cancellation_on(self, provider: Provider) -> None:
        """A call that is cancelled, at any moment, ends as cancelled, leaves no task, and the next call works."""

        async def cancelled_after(steps: int, stream: bool) -> bool:
            before = asyncio.all_tasks()
            request = self.request("Say number 1.")
            work = provider.stream(request, lambda sort, text: None) if stream else provider.complete(request)
            call = asyncio.ensure_future(work)
            for _ in range(steps):
                await asyncio.sleep(0)
            in_time = not call.done()
            call.cancel()
            await asyncio.wait([call], timeout=30)
            assert call.done(), "it did not end"
            assert in_time == call.cancelled(), "it kept the cancellation to itself"
            for _ in range(10):
                await asyncio.sleep(0)
            assert set() == asyncio.all_tasks() - before, "tasks were left behind"
            return in_time

        async def main() -> None:
            for stream in (False, True):
                for steps in range(self.steps):
                    if not await cancelled_after(steps, stream):
                        break
                assert "" != (await provider.complete(self.request("Say number 1."))).message.text
            await provider.aclose()

        asyncio.run(main())

    def test_calls_at_once_do_not_mix(self, provider: Provider) -> None:
        """Each of many calls at once gets the answer it gets alone."""
        requests = [self.request(f"Say number {number}.") for number in range(1, 6)]

        async def main() -> tuple[list[Completion], list[Completion]]:
            alone = [await provider.complete(request) for request in requests]
            together = await asyncio.gather(*(provider.complete(request) for request in requests))
            await provider.aclose()
            return alone, list(together)

        alone, together = asyncio.run(main())
        assert [gist(answer) for answer in alone] == [gist(answer) for answer in together]

    def test_can_be_closed_and_used_again(self, provider: Provider) -> None:
        """Closing it, before any call, twice or between calls, does no harm: the next call opens another connection."""

        async def main() -> None:
            await provider.aclose()
            first = await provider.complete(self.request("Say number 1."))
            await provider.aclose()
            await provider.aclose()
            assert gist(first) == gist(await provider.complete(self.request("Say number 1.")))
            await provider.aclose()

        asyncio.run(main())

    def test_serves_one_loop_after_another(self, provider: Provider) -> None:
        """One provider works on a second event loop as on the first."""
        first = finish(provider, provider.complete(self.request("Say number 1.")))

        assert gist(first) == gist(finish(provider, provider.complete(self.request("Say number 1."))))

    def test_is_imported_without_its_sdk(self, provider: Provider) -> None:
        """Importing the provider does not import what it talks through, which takes a second or so."""
        package = type(provider).__module__.partition(".")[0]
        code = f"import json, sys, {package}; print(json.dumps([m for m in {self.sdks!r} if m in sys.modules]))"
        done = subprocess.run(  # noqa: S603 -- this very interpreter, and a line of ours
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

        assert 0 == done.returncode, done.stderr
        assert [] == json.loads(done.stdout)


def finish(provider: Provider, work: Coroutine[Any, Any, T]) -> T:
    """What *work* brings, on a loop of its own at whose end the provider is closed."""

    async def main() -> T:
        try:
            return await work
        finally:
            await provider.aclose()

    return asyncio.run(main())


def answer_or_error(provider: Provider, request: Request, stream: bool = False) -> Any:
    work = provider.stream(request, lambda sort, text: None) if stream else provider.complete(request)
    try:
        return finish(provider, work)
    except Exception as problem:  # noqa: BLE001 -- the claim is about which
        return problem


def gist(answer: Completion) -> tuple[str, list[tuple[str, dict[str, Any]]], str]:
    """What an answer says, without what may differ from call to call."""
    return answer.message.text, [(made.name, dict(made.arguments)) for made in answer.message.tool_calls], answer.stop
