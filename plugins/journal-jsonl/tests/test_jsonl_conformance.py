"""The journal keeps what every journal promises."""

from __future__ import annotations

import pytest

from cloudllm_core import Journal
from cloudllm_core.testing.conformance import JournalContract
from cloudllm_journal_jsonl import cloudllm_register_journal


class TestJsonl(JournalContract):
    """A file of lines."""

    @pytest.fixture
    def journal(self) -> type[Journal]:
        return cloudllm_register_journal()
