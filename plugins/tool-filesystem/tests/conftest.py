"""Both ways to open what is beneath a directory, for the tests that must hold with either."""

from __future__ import annotations

import pytest

from cloudllm_tool_filesystem import _openat2


@pytest.fixture(params=["openat2", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernel's way, where it has one, and the walk that is taken everywhere else."""
    if request.param == "walk":
        monkeypatch.setattr(_openat2, "opener", lambda: None)
    elif _openat2.opener() is None:
        pytest.skip("this system has no openat2")
    return str(request.param)
