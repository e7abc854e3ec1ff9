"""The tool `generate_image`: what a model is offered, what it reads, and where images are saved."""

from __future__ import annotations

import asyncio
import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudllm_tool_image
from cloudllm_core import (
    Agent,
    GeneratedImage,
    Hub,
    ImageGenerator,
    Mode,
    Orchestration,
    Outcome,
    Registry,
    Request,
    Secret,
    ToolContext,
    ToolProtocol,
    ToolResult,
    hookimpl,
)
from cloudllm_core.errors import ContentFiltered, SettingsError
from cloudllm_core.testing import ScriptedProvider, call
from cloudllm_core.testing.conformance import ToolProtocolContract
from cloudllm_tool_image import ImageFault, ImageTool
from cloudllm_tool_image._names import names_for, slug

PNG = b"\x89PNG\r\n\x1a\n"
CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)


@attrs.define(eq=False)
class Easel(ImageGenerator):
    """Paints at once; every picture another one, unless it is told to copy."""

    name: ClassVar[str] = "easel"

    model: str = "oil"
    copies: bool = False
    asked: list[dict[str, Any]] = attrs.Factory(list)
    closed: int = 0

    async def generate(
        self, prompt: str, *, aspect_ratio: str = "1:1", n: int = 1, format: Any = "bytes"
    ) -> tuple[GeneratedImage, ...]:
        self.asked.append({"prompt": prompt, "aspect_ratio": aspect_ratio, "n": n, "format": format})
        if format == "url":
            return tuple(GeneratedImage("", url=f"https://images.example/{number}") for number in range(n))
        first = 0 if self.copies else len(self.asked)
        return tuple(GeneratedImage("image/png", PNG + bytes([first, number])) for number in range(n))

    async def aclose(self) -> None:
        self.closed += 1


def painted(tool: ImageTool, prompt: str = "A red fox, in the snow!", **more: Any) -> Any:
    return asyncio.run(tool.call("generate_image", {"prompt": prompt, **more}, CONTEXT))


class TestImageTool(ToolProtocolContract):
    """Over a generator that paints at once."""

    calls = (("generate_image", {"prompt": "A red fox."}), ("generate_image", {"prompt": "Two foxes.", "n": 2}))

    @pytest.fixture
    def protocol(self, tmp_path: Path) -> ToolProtocol:
        return ImageTool(Easel(), tmp_path / "images")


# -- what a model is offered --------------------------------------------------


def test_the_tool_says_what_it_does_and_needs(tmp_path: Path) -> None:
    """It writes files of its own, takes minutes, and asks for no network: the user chose where prompts go."""
    (definition,) = ImageTool(Easel(), tmp_path).tools()

    assert ("generate_image", "write", 120.0) == (definition.name, definition.effect, definition.timeout)
    assert (("files",), False, False) == (definition.needs, definition.untrusted, definition.approve)
    assert ["prompt", "aspect_ratio", "n"] == list(definition.parameters["properties"])
    assert 4 == definition.parameters["properties"]["n"]["maximum"]


def test_what_the_tool_offers_follows_its_settings(tmp_path: Path) -> None:
    """With one image a call there is no number to give; addresses need no files."""
    (one,) = ImageTool(Easel(), tmp_path, most=1, timeout=5).tools()
    (url,) = ImageTool(Easel(), tmp_path, format="url").tools()

    assert ["prompt", "aspect_ratio"] == list(one.parameters["properties"])
    assert 5 == one.timeout
    assert () == url.needs


# -- saving -------------------------------------------------------------------


def test_images_are_saved_and_told_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model reads is short, plain data; the path is as the user wrote the folder."""
    monkeypatch.chdir(tmp_path)
    easel = Easel()
    told = painted(ImageTool(easel, "out/art"), aspect_ratio="16:9", n=2)

    assert [{"prompt": "A red fox, in the snow!", "aspect_ratio": "16:9", "n": 2, "format": "bytes"}] == easel.asked
    first, second = told
    assert {"mime": "image/png", "bytes": 10, "model": "oil"} == {k: v for k, v in first.items() if k != "path"}
    assert first["path"].startswith("out/art/a-red-fox-in-the-snow-")
    assert [PNG + b"\1\0", PNG + b"\1\1"] == [Path(image["path"]).read_bytes() for image in (first, second)]
    assert 500 > len(json.dumps(told))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """The same picture of the same prompt gets a number; so does one whose name something else has."""
    tool = ImageTool(Easel(copies=True), tmp_path)
    names = [Path(painted(tool)[0]["path"]).name for _ in range(3)]
    stem = names[0].removesuffix(".png")
    (tmp_path / f"{stem}-4.png").mkdir()
    (tmp_path / f"{stem}-5.png").symlink_to(tmp_path / "elsewhere.png")

    assert [f"{stem}.png", f"{stem}-2.png", f"{stem}-3.png"] == names
    assert f"{stem}-6.png" == Path(painted(tool)[0]["path"]).name
    assert not (tmp_path / "elsewhere.png").exists()


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("/root/.ssh/id_rsa", "root-ssh-id-rsa"),
        ("A fox's den, \u00e0 la carte", "a-foxs-den-a-la-carte"),
        ("\u96ea\u306e\u4e2d\u306e\u72d0", "image"),
        ("..", "image"),
        ("\0\n", "image"),
        ("x" * 200, "x" * 48),
        ("one two three four five six seven eight nine ten eleven", "one-two-three-four-five-six-seven-eight-nine-ten"),
    ],
)
def test_a_name_is_plain_words_of_the_prompt(prompt: str, name: str) -> None:
    """Nothing of a prompt can lead out of the folder."""
    assert name == slug(prompt)


@given(st.text(), st.binary(max_size=8))
def test_any_name_stays_in_the_folder(prompt: str, data: bytes) -> None:
    """One plain component, short, that hides nothing and reads the same everywhere."""
    names = names_for(prompt, data, ".png")
    for name in (next(names), next(names)):
        assert os.path.basename(name) == name
        assert name.removesuffix(".png").replace("-", "").isalnum()
        assert name.isascii()
        assert name == name.lower()
        assert len(name) < 80


def test_a_folder_that_leads_elsewhere_now_is_not_used(tmp_path: Path) -> None:
    """Nobody puts a link in its way after the team was set up."""
    (tmp_path / "elsewhere").mkdir()
    tool = ImageTool(Easel(), tmp_path / "images")
    (tmp_path / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImageFault, match="leads elsewhere now than when the team was set up. Only the user can"):
        painted(tool)

    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_was_a_link_from_the_start_is_the_users(tmp_path: Path) -> None:
    """They may keep their images elsewhere."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "images").symlink_to(tmp_path / "disk")
    painted(ImageTool(Easel(), tmp_path / "images"))

    assert 1 == len(list((tmp_path / "disk").iterdir()))


def test_a_folder_stays_where_it_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later change of the working directory does not move it."""
    monkeypatch.chdir(tmp_path)
    tool = ImageTool(Easel())
    monkeypatch.chdir("/")
    painted(tool)

    assert 1 == len(list((tmp_path / "images").iterdir()))


def test_what_cannot_be_saved_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing half done."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ImageFault, match="could not be saved in .*: (Not a directory|File exists). Only the user can"):
        painted(ImageTool(Easel(), tmp_path / "file"))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ImageFault, match="The image was made and could not be saved in .*: No space left on device"):
        painted(ImageTool(Easel(), tmp_path / "images"))
    assert [] == list((tmp_path / "images").iterdir())


def test_addresses_are_told_and_nothing_is_saved(tmp_path: Path) -> None:
    """With format="url"."""
    told = painted(ImageTool(Easel(), tmp_path / "images", format="url"))

    assert [{"url": "https://images.example/0", "mime": "", "model": "oil"}] == told
    assert not (tmp_path / "images").exists()


def test_more_than_the_setting_allows_are_refused(tmp_path: Path) -> None:
    """From Python too, where no schema stands before it; nothing is asked."""
    easel = Easel()
    with pytest.raises(ImageFault, match="3 images are more than one call may make. Ask for at most 2."):
        painted(ImageTool(easel, tmp_path, most=2), n=3)

    assert [] == easel.asked


def test_closing_the_tool_closes_the_generator(tmp_path: Path) -> None:
    """It was given to it."""
    easel = Easel()
    asyncio.run(ImageTool(easel, tmp_path).aclose())

    assert 1 == easel.closed


def test_the_generators_secrets_are_the_tools(tmp_path: Path) -> None:
    """So that the kernel can keep them out of sessions and journals."""

    class Locked(Easel):
        def secrets(self) -> list[Secret]:
            return [Secret("canary-key-1", "EASEL_KEY")]

    assert [Secret("canary-key-1")] == list(ImageTool(Locked(), tmp_path).secrets())
    assert [] == list(ImageTool(Easel(), tmp_path).secrets())


# -- in an agent and in a team file -------------------------------------------


class Plugin:
    """Offers the easel."""

    @hookimpl
    def cloudllm_register_image_generator(self) -> type[Easel]:
        return Easel


def results_of(request: Request) -> Sequence[ToolResult]:
    return [part for message in request.messages for part in message.parts if isinstance(part, ToolResult)]


def test_an_agent_makes_an_image(tmp_path: Path) -> None:
    """One line adds the tool; the model reads paths, never the picture."""
    provider = ScriptedProvider(call("generate_image", prompt="A red fox.", n=2), "Done.")
    ada = Agent("ada", provider, tools=[ImageTool(Easel(), tmp_path)], registry=Registry.of())

    assert "Done." == ada.send_sync("Paint.").text
    (result,) = results_of(provider.requests[-1])
    assert ["image/png", "image/png"] == [image["mime"] for image in json.loads(result.content)]
    assert 2 == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (SettingsError("aspect_ratio", "'5:4'", "one of 1:1, 3:2"), "aspect_ratio: found '5:4', expected one of"),
        (ContentFiltered("the picture was held back: gore", "easel"), "the picture was held back: gore"),
    ],
)
def test_the_model_reads_why_there_is_no_image(tmp_path: Path, problem: Exception, said: str) -> None:
    """So that it can ask otherwise."""

    class Refusing(Easel):
        async def generate(self, *args: Any, **more: Any) -> tuple[GeneratedImage, ...]:
            raise problem

    provider = ScriptedProvider(call("generate_image", prompt="A red fox."), "Sorry.")
    ada = Agent("ada", provider, tools=[ImageTool(Refusing(), tmp_path)], registry=Registry.of())
    ada.send_sync("Paint.")

    (result,) = results_of(provider.requests[-1])
    assert result.is_error
    assert said in result.content


TEAM = """
mode = "once"

[[agents]]
name = "ada"
model = { name = "painter:any" }
tools = [{ name = "image", generator = "easel:watercolour", folder = "out" }]
"""


class Painter(ScriptedProvider):
    """A model that asks for an image and then is done."""

    name: ClassVar[str] = "painter"

    def __init__(self) -> None:
        super().__init__(call("generate_image", prompt="A red fox."), "Done.")


class Once(Mode):
    name: ClassVar[str] = "once"

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        await hub.ask(hub.agents[0], prompt)
        return Outcome(complete=True)


class Troupe:
    @hookimpl
    def cloudllm_register_provider(self) -> type[Painter]:
        return Painter

    @hookimpl
    def cloudllm_register_mode(self) -> type[Once]:
        return Once


def test_a_team_file_names_a_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name and model; the folder is relative to the folder in which the team is set up."""
    monkeypatch.chdir(tmp_path)
    registry = Registry.of(Plugin(), Troupe(), cloudllm_tool_image)
    result = Orchestration.from_settings(tomllib.loads(TEAM), registry=registry).run_sync("Paint.")

    assert "Done." == result.messages[-1].text, result
    (image,) = (tmp_path / "out").iterdir()
    assert PNG == image.read_bytes()[:8]
    assert image.name.startswith("a-red-fox-")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "tools: found no 'generator', expected 'generator', which 'image' needs."),
        ({"generator": "easle"}, "No image generator is called 'easle' (installed: easel). Did you mean 'easel'?"),
        ({"generator": {"name": "easel", "modle": "oil"}}, "Did you mean 'model'?"),
        ({"generator": "easel", "most": 0}, "tools.most: found 0, expected at least 1."),
        ({"generator": "easel", "format": "png"}, "format: found 'png'"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], sentence: str) -> None:
    """With the place and the remedy."""
    registry = Registry.of(Plugin(), cloudllm_tool_image)
    with pytest.raises(Exception) as refused:  # noqa: PT011 -- two kinds, and their sentences are the claim
        registry.build("tool_protocol", {"name": "image", **settings}, "tools")

    assert sentence in str(refused.value)


@pytest.mark.parametrize("generator", ["openai:gpt-image-2", 3, None])
def test_what_is_no_generator_is_refused_at_once(generator: Any, tmp_path: Path) -> None:
    """Not when a model first asks for an image; a name is for team files."""
    with pytest.raises(SettingsError) as caught:
        ImageTool(generator, folder=tmp_path)

    assert (
        f"generator: found {generator!r}, expected an ImageGenerator. "
        "A name will do in a team file; in Python, make one: ImageTool(OpenAIImages())."
    ) == str(caught.value)
