"""The SDK behind one door: it is imported, opened and closed here, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudllm_provider_http import Door, Line, http_client

if TYPE_CHECKING:
    import httpx2


def connect(door: Door) -> Line:
    """
    A line to *door*: the SDK says where to and with which headers, for each request.

    Raises:
        ValueError, ImportError: it cannot.
    """
    import httpx2
    from google.genai import Client
    from google.genai.types import HttpOptions

    trust = httpx2.create_ssl_context()  # a costly thing, of which the SDK would make two more
    http = http_client(door, trust, redirects=False)
    options = HttpOptions(
        base_url=door.base_url,
        api_version=door.version,
        headers=dict(door.headers),
        httpx_async_client=http,  # or the SDK takes aiohttp wherever that is installed
        client_args={"verify": trust},
        async_client_args={"verify": trust, "ssl": trust},
    )
    sdk = Client(api_key=door.key.reveal(), vertexai=False, http_options=options)

    def request(path: str, content: bytes | None) -> httpx2.Request:
        method = "GET" if content is None else "POST"
        call = sdk._api_client._build_request(method.lower(), path, {})
        return http.build_request(method, call.url, content=content, headers=call.headers)

    async def aclose() -> None:
        try:
            await http.aclose()  # the SDK leaves alone what it was given
        finally:
            await sdk.aio.aclose()
            sdk.close()

    return Line(http, request, aclose)
