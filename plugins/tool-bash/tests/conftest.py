"""A sandbox for the tests of this folder, and what they do where there is none."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudllm_tool_bash import Bash, Result

INSTALL = "bubblewrap is not installed: apt-get install bubblewrap (Linux)"
PYTHON = os.path.realpath(sys.executable)
"""An interpreter that can be shown to a sandbox with its own folder, and nothing of this environment."""


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Bubblewrap, without which the claims about it are skipped on a user's machine, and fail in CI."""
    if shutil.which("bwrap") is None:
        if os.environ.get("CLOUDLLM_CI") or os.environ.get("CI"):
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Bash:
    """One sandbox for all tests of a module, so that it is tried only once."""
    prefix = Path(PYTHON).parents[1]
    more = [] if prefix == Path("/usr") else [prefix]
    workspace = tmp_path_factory.mktemp("bash") / "workspace"
    workspace.mkdir()
    return Bash(workspace, read_only=more, timeout=20)


@pytest.fixture
def box(bubblewrap: None, shared: Bash) -> Bash:
    return shared


@pytest.fixture
def run(box: Bash) -> Callable[..., Result]:
    """Run a command in the sandbox."""

    def run(command: str, **more: Any) -> Result:
        return asyncio.run(box.run(command, **more))

    return run


@pytest.fixture
def python(run: Callable[..., Result]) -> Callable[..., Result]:
    """Run a program in Python in the sandbox, with words."""

    def python(source: str, *words: object) -> Result:
        environment = {"SOURCE": source, "WORDS": "\n".join(map(str, words))}
        return run(f'exec {PYTHON} -IS -c "$SOURCE"', environment=environment)

    return python
