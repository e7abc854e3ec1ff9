"""The contract of image generators."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from ..._images import GeneratedImage, ImageGenerator
from ...errors import ProviderError, SettingsError
from ._chance import ODD_TEXTS
from ._providers import ProviderContract

T = TypeVar("T")

NO_RATIOS = ("", "1", "1:", ":1", "0:1", "1:0", "-1:1", "1/1", "banana", "16:9\n", "\uff11:\uff11", "1:1:1", "9999:1")
"""What no generator can make."""


class ImageGeneratorContract:
    """
    What every image generator promises. Subclass it and write the fixture ``generator``.

    Let that generator make images without leaving this machine. Write the fixtures ``failing``, ``asked``
    and ``opened`` too, where there is something to count.
    """

    key: ClassVar[str] = ""
    """The key that the generators under test use, and nobody may ever read; empty if they need none."""

    several: ClassVar[int] = 3
    """A number of images above one that it makes in a call; 1 for a generator that makes one at a time."""

    sdks: ClassVar[Sequence[str]] = ProviderContract.sdks
    """What importing the generator must not import; it waits for the first call."""

    steps: ClassVar[int] = 40
    """At how many moments of a call the claims cancel it."""

    @pytest.fixture
    def generator(self) -> ImageGenerator:
        """The generator under test, which makes images."""
        raise NotImplementedError("Write a fixture `generator` that returns an instance of your generator.")

    @pytest.fixture
    def failing(self) -> Sequence[ImageGenerator]:
        """Generators each of whose calls must fail: a false key, a dead server, a broken answer ..."""
        return ()

    @pytest.fixture
    def asked(self) -> Callable[[], int]:
        """How often `generator` has asked its server for something."""
        return lambda: 0

    @pytest.fixture
    def opened(self) -> Callable[[], int]:
        """How many clients have been opened so far."""
        return lambda: 1

    def test_has_a_name(self, generator: ImageGenerator) -> None:
        """Users write it before a colon, so it is one plain lower-case word."""
        assert generator.name.replace("-", "").isalnum()
        assert generator.name == generator.name.lower()

    def test_makes_as_many_as_asked_for(self, generator: ImageGenerator) -> None:
        """One, or several: that many images, each with its bytes and no address."""
        for n in sorted({1, self.several}):
            images = finish(generator, generator.generate("A red fox.", n=n))

            assert isinstance(images, tuple)
            assert n == len(images)
            for image in images:
                assert isinstance(image, GeneratedImage)
                assert image.data
                assert image.url is None
                assert isinstance(image.mime, str)

    def test_gives_addresses_or_says_that_it_cannot(self, generator: ImageGenerator, asked: Callable[[], int]) -> None:
        """With format="url" each image has an address and no bytes; or it is refused, before anything is asked."""
        before = asked()
        answer = finish(generator, images_or_error(generator.generate("A red fox.", format="url")))

        assert not isinstance(answer, ProviderError), repr(answer)
        if isinstance(answer, SettingsError):
            assert answer.where.endswith("format")
            assert before == asked()
        else:
            assert [(True, None)] == [(bool(image.url), image.data) for image in answer]

    @pytest.mark.parametrize("n", [0, -1, 1_000_000, True, 1.0, "2", None])
    def test_refuses_a_number_that_makes_no_sense(
        self, generator: ImageGenerator, asked: Callable[[], int], n: Any
    ) -> None:
        """As a `SettingsError`, before anything is asked."""
        before = asked()
        with pytest.raises(SettingsError) as refused:
            finish(generator, generator.generate("A red fox.", n=n))

        assert refused.value.where.endswith("n")
        assert before == asked()

    @pytest.mark.parametrize("ratio", NO_RATIOS)
    def test_refuses_a_ratio_it_cannot_make(
        self, generator: ImageGenerator, asked: Callable[[], int], ratio: str
    ) -> None:
        """As a `SettingsError` that says what there is; it is neither changed nor sent."""
        before = asked()
        with pytest.raises(SettingsError) as refused:
            finish(generator, generator.generate("A red fox.", aspect_ratio=ratio))

        assert refused.value.where.endswith("aspect_ratio")
        assert refused.value.expected
        assert before == asked()

    @pytest.mark.parametrize("format", ["", "png", "URL", None])
    def test_refuses_a_format_there_is_not(
        self, generator: ImageGenerator, asked: Callable[[], int], format: Any
    ) -> None:
        """As a `SettingsError`, before anything is asked."""
        before = asked()
        with pytest.raises(SettingsError) as refused:
            finish(generator, generator.generate("A red fox.", format=format))

        assert refused.value.where.endswith("format")
        assert before == asked()

    def test_takes_any_prompt(self, generator: ImageGenerator) -> None:
        """The oddest text is painted or refused as one of the errors of the contract; nothing else."""
        for text in (*ODD_TEXTS, "x" * 100_000, "half a \ud83d character"):
            answer = finish(generator, images_or_error(generator.generate(text)))
            assert str(answer) if isinstance(answer, Exception) else 1 == len(answer)

    def test_lets_only_provider_errors_out(self, failing: Sequence[ImageGenerator]) -> None:
        """Whatever goes wrong comes out as a `ProviderError` with a sentence; one image or several."""
        for generator in failing:
            for n in sorted({1, self.several}):
                with pytest.raises(ProviderError) as refused:
                    finish(generator, generator.generate("A red fox.", n=n))

                assert refused.value.problem
                assert str(refused.value).endswith((".", "!", "?"))

    def test_tells_nobody_the_key(self, generator: ImageGenerator, failing: Sequence[ImageGenerator]) -> None:
        """It is in no repr, no error and no traceback."""
        shown = [repr(generator), str(generator)]
        for other in failing:
            shown.append(repr(other))
            with pytest.raises(ProviderError) as refused:
                finish(other, other.generate("A red fox."))
            shown += [repr(refused.value), "".join(traceback.format_exception(refused.value))]

        assert not self.key or not [text for text in shown if self.key in text]

    def test_calls_at_once_share_a_client(self, generator: ImageGenerator, opened: Callable[[], int]) -> None:
        """Each of many calls at once gets its image, and one client is opened for all of them."""

        async def main() -> tuple[int, list[tuple[GeneratedImage, ...]]]:
            made = await asyncio.gather(*(generator.generate(f"Fox number {number}.") for number in range(5)))
            count = opened()
            await generator.aclose()
            return count, list(made)

        count, made = asyncio.run(main())
        assert [1] * 5 == [len(images) for images in made]
        assert 1 == count

    def test_passes_cancellation_on(self, generator: ImageGenerator) -> None:
        """A call that is cancelled, at any moment, ends as cancelled, leaves no task, and the next call works."""

        async def cancelled_after(steps: int) -> bool:
            before = asyncio.all_tasks()
            call = asyncio.ensure_future(generator.generate("A red fox.", n=self.several))
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
            for steps in range(self.steps):
                if not await cancelled_after(steps):
                    break
            assert 1 == len(await generator.generate("A red fox."))
            await generator.aclose()

        asyncio.run(main())

    def test_can_be_closed_and_used_again(self, generator: ImageGenerator) -> None:
        """Closing it, before any call, twice or between calls, does no harm: the next call opens another connection."""

        async def main() -> list[int]:
            await generator.aclose()
            first = await generator.generate("A red fox.")
            await generator.aclose()
            await generator.aclose()
            second = await generator.generate("A red fox.")
            await generator.aclose()
            return [len(first), len(second)]

        assert [1, 1] == asyncio.run(main())

    def test_serves_one_loop_after_another(self, generator: ImageGenerator) -> None:
        """One generator works on a second event loop as on the first."""
        assert [1, 1] == [len(finish(generator, generator.generate("A red fox."))) for _ in range(2)]

    def test_is_imported_without_its_sdk(self, generator: ImageGenerator) -> None:
        """Importing the generator does not import what it talks through, which takes a second or so."""
        package = type(generator).__module__.partition(".")[0]
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


async def images_or_error(
    work: Coroutine[Any, Any, tuple[GeneratedImage, ...]],
) -> tuple[GeneratedImage, ...] | ProviderError | SettingsError:
    """What *work* brings, or one of the errors that the contract knows."""
    try:
        return await work
    except (ProviderError, SettingsError) as problem:
        return problem


def finish(generator: ImageGenerator, work: Coroutine[Any, Any, T]) -> T:
    """What *work* brings, on a loop of its own at whose end the generator is closed."""

    async def main() -> T:
        try:
            return await work
        finally:
            await generator.aclose()

    return asyncio.run(main())
