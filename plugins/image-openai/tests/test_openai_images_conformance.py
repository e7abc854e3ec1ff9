"""The generator keeps what every image generator promises, against a server on loopback that paints."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloudllm_core import ImageGenerator
from cloudllm_core.testing.conformance import ImageGeneratorContract
from cloudllm_image_openai import OpenAIImages

KEY = "canary-key-5d1e"


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


easels = _neighbour("easel")


@pytest.fixture
def easel() -> Iterator[Any]:
    with easels.painting() as easel:
        yield easel


class TestOpenAIImages(ImageGeneratorContract):
    """Through the real SDK."""

    key = KEY
    model = "gpt-image-2"

    @pytest.fixture
    def generator(self, easel: Any) -> ImageGenerator:
        return OpenAIImages(self.model, base_url=f"{easel.address}/v1", api_key=KEY)

    @pytest.fixture
    def asked(self, easel: Any) -> Callable[[], int]:
        return lambda: len(easel.asked)

    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
        import openai

        clients: list[Any] = []
        real = openai.AsyncOpenAI

        def counted(**settings: Any) -> Any:
            clients.append(real(**settings))
            return clients[-1]

        monkeypatch.setattr(openai, "AsyncOpenAI", counted)
        return lambda: len(clients)

    @pytest.fixture
    def failing(self) -> Iterator[Sequence[ImageGenerator]]:
        with easels.painting() as dead, easels.painting() as rude, easels.painting() as cut, easels.painting() as sly:
            dead.always = easels.Reply(500, {"error": {"message": f"Who is {KEY}?"}})
            rude.always = easels.Reply(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
            cut.always = easels.Reply(200, {"data": [{"b64_json": easels.coded(easels.PNG)}] * 3}, cut=True)
            sly.always = easels.Reply(200, {"error": {"message": f"Who is {KEY}?", "code": 500}})
            addresses = [dead.address, rude.address, cut.address, sly.address, "http://127.0.0.1:1"]
            yield [OpenAIImages(self.model, base_url=f"{address}/v1", api_key=KEY) for address in addresses]


class TestOpenAIImagesByAnotherModel(TestOpenAIImages):
    """A model that gives addresses too."""

    model = "flux-2"
