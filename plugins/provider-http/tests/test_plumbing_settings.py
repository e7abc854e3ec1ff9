"""What may be an address: it is shown in logs and errors, so it holds nothing but a place."""

from __future__ import annotations

import pytest

from cloudllm_core.errors import SettingsError
from cloudllm_provider_http.settings import address, holds_more


@pytest.mark.parametrize("url", ["https://a.example", "http://[::1]:8080/v1", "https://a.example/x@y/v1"])
def test_a_place_is_an_address(url: str) -> None:
    """With a port, with a path, whatever stands in that."""
    address(None, None, url)

    assert holds_more(url) is None


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "ftp://a.example",
            "base_url: found 'ftp://a.example', expected an address that begins with http:// or https://.",
        ),
        (
            "https://ada:canary@a.example/v1",
            (
                "base_url: found an address with a user's name or password, expected one without. "
                "Put a key into api_key, and anything else into headers."
            ),
        ),
        (
            "https://a.example/v1?key=canary",
            (
                "base_url: found an address with a query, expected one without. "
                "Put a key into api_key, and anything else into headers."
            ),
        ),
    ],
)
def test_anything_more_is_refused_and_not_shown(url: str, sentence: str) -> None:
    """What might be a secret is named, with where it belongs."""
    with pytest.raises(SettingsError) as caught:
        address(None, None, url)

    assert sentence == str(caught.value)
