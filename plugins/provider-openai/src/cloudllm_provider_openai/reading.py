"""The answer's bytes as a completion, whole or streaming, for either API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from cloudllm_core import Completion
from cloudllm_core.errors import StreamTruncated
from cloudllm_provider_http import Origin, Reading, bad_response, parsed
from cloudllm_provider_http import read as read_body

from .wire import Emit, failure

if TYPE_CHECKING:
    import httpx2


class Assembly(Protocol):
    """Puts an answer together."""

    origin: Origin

    @property
    def ended(self) -> bool: ...
    def add(self, chunk: Any) -> None: ...
    def done(self) -> None: ...
    def completion(self) -> Completion: ...


class Assembler(Protocol):
    """Makes the `Assembly` of one API."""

    path: str
    """Where the API is, below the address of a server."""

    def __call__(self, origin: Origin, emit: Emit | None = None, *, whole: bool = False) -> Assembly: ...


async def read(response: httpx2.Response, assembler: Assembler, origin: Origin, emit: Emit | None) -> Completion:
    """
    The completion that *response* brings, its text handed out through *emit* as it comes.

    Raises:
        ProviderError: in its most fitting subclass.
    """
    assembly = assembler(origin, emit)

    def whole(content: bytes) -> Completion:
        body = parsed(content, origin)
        made = assembler(origin, emit, whole=True)
        made.add(body)
        return made.completion()

    def add(name: str, data: str, last: bool) -> None:
        _add(assembly, name, data, last)

    return await read_body(response, origin, Reading(assembly=assembly, add=add, whole=whole))


def _add(assembly: Assembly, name: str, data: str, last: bool) -> None:
    if data.strip() == "[DONE]":
        assembly.done()
        return
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        if last:
            problem = "the stream stopped in the middle of a chunk"
            raise StreamTruncated(**assembly.origin.facts(), problem=problem) from None
        if name == "error":
            raise failure(data, assembly.origin) from None
        raise bad_response("has a chunk that is not JSON", data, assembly.origin) from None
    if name == "error":
        raise failure(chunk, assembly.origin)
    assembly.add(chunk)
