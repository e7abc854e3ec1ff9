"""The answer's bytes as a completion, whole or streaming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudllm_core import Completion, Emit
from cloudllm_core.errors import StreamTruncated
from cloudllm_provider_http import Origin, Reading, bad_response, parsed, read_json
from cloudllm_provider_http import read as read_body

from .wire import Assembly, completion, failure

if TYPE_CHECKING:
    import httpx2


async def read(response: httpx2.Response, origin: Origin, emit: Emit | None) -> Completion:
    """
    The completion in *response*, its pieces handed out through *emit*.

    Raises:
        StreamTruncated: a stream broke off. ConnectionFailed: another answer did. ProviderError: as the answer says.
    """
    assembly = Assembly(origin, emit)

    def whole(content: bytes) -> Completion:
        return completion(parsed(content, origin, read_json), origin, emit)

    def add(name: str, data: str, last: bool) -> None:
        _add(assembly, name, data, last)

    return await read_body(response, origin, Reading(assembly=assembly, add=add, whole=whole))


def _add(assembly: Assembly, name: str, data: str, last: bool) -> None:
    if data.strip() == "[DONE]":  # a gateway's habit; the message has its own end
        return
    try:
        chunk = read_json(data)
    except (ValueError, RecursionError):
        if last:
            problem = "the stream stopped in the middle of an event"
            raise StreamTruncated(**assembly.origin.facts(), problem=problem) from None
        if name == "error":
            raise failure(data, assembly.origin) from None
        raise bad_response("has an event that is not JSON", data, assembly.origin) from None
    assembly.add(chunk, name)
