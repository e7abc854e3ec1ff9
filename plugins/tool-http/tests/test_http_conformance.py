"""The HTTP tools keep what every tool protocol promises."""

from __future__ import annotations

from typing import Any

import pytest

from cloudllm_core import ToolProtocol
from cloudllm_core.testing.conformance import ToolProtocolContract
from cloudllm_tool_http import Http

URL = "https://public.example/page"


class TestHttp(ToolProtocolContract):
    """Over a network that is not there."""

    words = (URL, "http://127.0.0.1/", "http://other.example/", "Accept", "\r\n", "file:///etc/passwd", "https://")
    calls = (
        ("http_get", {"url": URL, "query": {"q": "tides", "page": 2}, "headers": {"Accept": "text/html"}}),
        ("http_post", {"url": URL, "body": {"a": [1, 2]}}),
        ("http_put", {"url": URL, "body": "text"}),
        ("http_delete", {"url": URL}),
        ("http_patch", {"url": URL, "body": ["json"]}),
    )

    @pytest.fixture
    def protocol(self, net: Any) -> ToolProtocol:
        return Http(resolve=net.resolve, dial=net.dial)
