"""The SDK behind one door: it is imported and opened here, and nowhere else."""

from __future__ import annotations

from cloudllm_provider_http import Door, Line, http_client, requests


def connect(door: Door) -> Line:
    """
    A line to *door*: the SDK says where to and with which headers.

    Raises:
        ValueError: it cannot.
    """
    import httpx2
    from openai import AsyncOpenAI, OpenAIError

    http = http_client(door, httpx2.create_ssl_context(), redirects=True)
    try:
        sdk = AsyncOpenAI(
            api_key=door.key.reveal(),
            base_url=door.base_url,
            default_headers=dict(door.headers),
            http_client=http,
        )
    except OpenAIError as problem:
        raise ValueError(str(problem)) from None
    return Line(http, requests(http, sdk.base_url, {**sdk.auth_headers, **sdk.default_headers}), sdk.close)
