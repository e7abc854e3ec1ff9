"""The tool ``generate_image``: a prompt goes to the generator the user chose, its images go into one folder."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import attrs

from cloudllm_core import GeneratedImage, ImageFormat, ImageGenerator, Secret, ToolContext, ToolDefinition, ToolProtocol
from cloudllm_core.errors import CloudLLMError, SettingsError

from ._names import names_for

ABOUT = {
    "bytes": "Make an image from a description and save it; gives its path. Saved images are never overwritten.",
    "url": "Make an image from a description; gives an address from which it can be fetched for a while.",
}


@attrs.define(eq=False)
class ImageFault(CloudLLMError):
    """An image could not be made or saved; the sentence is written for the model that asked."""

    problem: str
    remedy: str
    says = "{self.problem}. {self.remedy}"


def _generator(_: object, __: object, value: Any) -> None:
    if not isinstance(value, ImageGenerator):
        hint = "A name will do in a team file; in Python, make one: ImageTool(OpenAIImages())."
        raise SettingsError("generator", reprlib.repr(value), "an ImageGenerator", hint)


@attrs.frozen(eq=False)
class ImageTool(ToolProtocol):
    """
    The tool ``generate_image`` over any `ImageGenerator`.

    It needs ``files``, and no ``network``: the prompt goes where the user said images are made, as a model's
    messages go to its provider, and a model cannot choose another address.
    """

    name: ClassVar[str] = "image"

    generator: ImageGenerator = attrs.field(validator=_generator)
    """In a team file its name, ``openai:gpt-image-2``, or a table with a ``name`` and its settings."""

    folder: Path = attrs.field(default=Path("images"), converter=Path)
    """Where images are saved; made when the first one is. Relative to the working directory of the moment."""

    most: int = attrs.field(default=4, kw_only=True, validator=attrs.validators.ge(1))
    """How many images one call may ask for; with 1 the tool takes no number."""

    format: ImageFormat = attrs.field(
        default="bytes", kw_only=True, validator=attrs.validators.in_(get_args(ImageFormat))
    )
    """``url``: nothing is saved, and the model is given addresses."""

    timeout: float = attrs.field(default=120.0, kw_only=True, validator=attrs.validators.gt(0))
    """Seconds one call may take."""

    _place: Path = attrs.field(init=False, repr=False)
    """The folder, which a later change of the working directory or a link put in its way does not move."""

    @_place.default
    def _there(self) -> Path:
        return self.folder.expanduser().resolve()

    def tools(self) -> Sequence[ToolDefinition]:
        properties: dict[str, Any] = {
            "prompt": {"type": "string", "minLength": 1, "description": "What is to be seen, in detail."},
            "aspect_ratio": {
                "type": "string",
                "default": "1:1",
                "description": "Width to height, such as 1:1, 16:9, 9:16, 3:2 or 2:3.",
            },
        }
        if self.most > 1:
            properties["n"] = {
                "type": "integer",
                "default": 1,
                "minimum": 1,
                "maximum": self.most,
                "description": "How many images to make.",
            }
        definition = ToolDefinition(
            name="generate_image",
            description=ABOUT[self.format],
            parameters={
                "type": "object",
                "properties": properties,
                "required": ["prompt"],
                "additionalProperties": False,
            },
            effect="write",
            timeout=self.timeout,
            needs=("files",) if self.format == "bytes" else (),
        )
        return [definition]

    async def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
        if tool != "generate_image":
            raise ImageFault(f"There is no tool {tool!r} here", "There is generate_image.")
        return await self.generate_image(**arguments)

    async def generate_image(self, prompt: str, aspect_ratio: str = "1:1", n: int = 1) -> list[dict[str, Any]]:
        """
        Make *n* images; for each, its ``path``, ``mime``, size in ``bytes`` and the ``model``, or its ``url``.

        Raises:
            ImageFault: more than `most` are asked for, or they cannot be saved.
            SettingsError, ProviderError: as `ImageGenerator.generate`.
        """
        if n > self.most:
            raise ImageFault(f"{n} images are more than one call may make", f"Ask for at most {self.most}.")
        images = await self.generator.generate(prompt, aspect_ratio=aspect_ratio, n=n, format=self.format)
        model = getattr(self.generator, "model", None)
        more = {"model": model} if isinstance(model, str) else {}
        if self.format == "url":
            return [{"url": image.url, "mime": image.mime, **more} for image in images]
        paths = await asyncio.to_thread(self._save, prompt, images)
        return [
            {"path": path.as_posix(), "mime": image.mime, "bytes": len(image.data or b""), **more}
            for path, image in zip(paths, images, strict=True)
        ]

    def secrets(self) -> Iterable[Secret]:
        """What the generator knows and nobody may read."""
        return self.generator.secrets()

    async def aclose(self) -> None:
        """Close the generator's connection; the next call opens another."""
        await self.generator.aclose()

    def _save(self, prompt: str, images: Sequence[GeneratedImage]) -> list[Path]:
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            if self._place.resolve() != self._place:
                raise ImageFault(
                    f"The folder {str(self.folder)!r} leads elsewhere now than when the team was set up",
                    "Only the user can say where images are saved.",
                )
            return [self.folder / self._save_one(prompt, image) for image in images]
        except OSError as problem:
            raise ImageFault(
                f"The image was made and could not be saved in {str(self.folder)!r}: {problem.strerror or problem}",
                "Only the user can make room there, or set another folder.",
            ) from problem

    def _save_one(self, prompt: str, image: GeneratedImage) -> str:
        """The name under which *image* is saved now: one that nothing had."""
        for name in names_for(prompt, image.data or b"", image.suffix):
            target = self._place / name
            try:
                target.open("xb").close()  # the name is ours, whoever else saves here
            except FileExistsError:
                continue
            try:
                image.save(target)
            except BaseException:
                target.unlink()
                raise
            return name
        raise AssertionError("there is always another name")
