"""The answer's bytes as a completion, whole or streamed, whatever it calls itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudllm_core import Completion, Emit, Message
from cloudllm_core.errors import StreamTruncated
from cloudllm_provider_http import BARE, Events, Origin, Reading, bad_response, parsed
from cloudllm_provider_http import read as read_body

from .wire import Assembly, completion, failure, parse_json

if TYPE_CHECKING:
    import httpx2


async def read(
    response: httpx2.Response, origin: Origin, emit: Emit | None, history: tuple[Message, ...]
) -> Completion:
    """
    The answer in *response*, to a request with *history*.

    A line of a stream may be as long as the body, for it may hold a picture.

    Raises:
        ProviderError: in its most fitting subclass.
    """
    assembly = Assembly(origin, emit, history)

    def whole(content: bytes) -> Completion:
        return completion(parsed(content, origin, _parse), origin, emit, history)

    def add(name: str, data: str, last: bool) -> None:
        _add(assembly, name, data, last)

    reading = Reading(assembly=assembly, add=add, whole=whole, events=Events(None, bare=True))
    return await read_body(response, origin, reading)


def _parse(content: bytes) -> Any:
    return parse_json(content.decode("utf-8-sig"))


def _add(assembly: Assembly, name: str, data: str, last: bool) -> None:
    if data.strip() in ("[DONE]", ""):  # what other wires say at their end, some servers say on this one
        return
    try:
        chunk = parse_json(data)
    except (ValueError, RecursionError):
        if last and not data.lstrip().startswith("<"):
            problem = "the stream stopped in the middle of a chunk"
            raise StreamTruncated(**assembly.origin.facts(), problem=problem) from None
        raise bad_response("has a chunk that is not JSON", data, assembly.origin) from None
    if name == "error":
        raise failure(chunk, assembly.origin)
    if name == BARE and isinstance(chunk, list) and chunk:
        chunk = chunk[0]
    assembly.add(chunk)
