"""Each wrapper, and all of them at once, keep what every tool protocol promises."""

from __future__ import annotations

from typing import Any

import pytest

from cloudllm_core import Prefixed, ToolProtocol
from cloudllm_core.testing.conformance import ToolProtocolContract
from cloudllm_tool_wrappers import Approved, Cached, Decided, DryRun, Only, RateLimit

WRAPPERS = {
    "approved": Approved,
    "cached": Cached,
    "decided": lambda inner: Decided(inner, lambda *_: True),
    "dry-run": DryRun,
    "only": lambda inner: Only(inner, ["look", "build"]),
    "rate-limited": lambda inner: RateLimit(inner, 1000, 1),
    "all": lambda inner: Decided(
        RateLimit(Cached(Approved(Only(Prefixed(inner, ""), ["look", "build"]))), 1000, 1), lambda *_: True
    ),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
class TestWrapped(ToolProtocolContract):
    """Around tools of every effect."""

    words = ("oak", "broken")
    calls = (("look", {"word": "oak"}), ("build", {"word": "elm"}))

    @pytest.fixture
    def protocol(self, wrap: Any, workshop: Any) -> ToolProtocol:
        protocol: ToolProtocol = wrap(workshop(pause=0.001))
        return protocol
