"""The contract of image generators, and what they bring."""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import attrs

from ._secrets import Secret
from ._settings import Configurable
from .errors import SetupError

ImageFormat: TypeAlias = Literal["bytes", "url"]
"""How an image comes: whole, or as an address from which it can be fetched for a while."""

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif"}


@attrs.frozen
class GeneratedImage:
    """One image: its *data*, or the *url* where it lies."""

    mime: str = ""
    """``image/png`` and so on; empty if the provider did not say."""

    data: bytes | None = attrs.field(default=None, repr=lambda data: "None" if data is None else f"{len(data)} bytes")
    url: str | None = None
    revised_prompt: str | None = None
    """The prompt that was really used, where the provider made it another one."""

    @property
    def suffix(self) -> str:
        """What a file name for it ends with; ``.bin`` for an unknown type."""
        return SUFFIXES.get(self.mime, ".bin")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """
        Write the image to *path*, whole or not at all; a name without an ending is given the right one.

        Returns the path written to. A file that is there already is replaced.

        Raises:
            SetupError: there is only an address. OSError: it cannot be written.
        """
        if self.data is None:
            raise SetupError(f"The image is not here, only its address: {self.url}. Ask for it with format='bytes'.")
        target = Path(path)
        if not target.suffix:
            target = target.with_name(target.name + self.suffix)
        beside = target.with_name(f".{target.name}.{os.getpid()}-{id(self):x}.part")
        try:
            with open(beside, "xb") as file:
                file.write(self.data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        return target


class ImageGenerator(Configurable, abc.ABC):
    """
    Makes images from words.

    Write a generator::                             Offer it::

        class Easel(ImageGenerator):                    @hookimpl
            name = "easel"                              def cloudllm_register_image_generator() -> type[Easel]:
            async def generate(self, prompt, ...): ...      return Easel

    Like a `Provider`, it keeps nothing between calls but its connection, imports its SDK when it first
    connects, switches the SDK's own retries off, and lets no error out but `ProviderError` and its kind.
    """

    name: ClassVar[str]
    shorthand: ClassVar[str] = "model"

    @abc.abstractmethod
    async def generate(
        self, prompt: str, *, aspect_ratio: str = "1:1", n: int = 1, format: ImageFormat = "bytes"
    ) -> tuple[GeneratedImage, ...]:
        """
        Make *n* images: that many, or an error.

        Args:
            prompt: what is to be seen.
            aspect_ratio: width to height, ``16:9``; what the provider cannot do is refused, not changed.
            n: how many, from 1 to what the provider can do.
            format: whether the images come whole (``bytes``) or as addresses (``url``).

        Raises:
            SettingsError: the provider cannot do this, before anything was asked of it.
            ProviderError: in its most fitting subclass; an answer without images is `BadResponse`, one that
            was held back is `ContentFiltered`.
        """

    def secrets(self) -> Iterable[Secret]:
        """What the generator knows and nobody may read, as `Provider.secrets`."""
        return ()

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
