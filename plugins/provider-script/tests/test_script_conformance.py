"""The script keeps what every provider promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from cloudllm_core import Provider, Request
from cloudllm_core.testing.conformance import ProviderContract
from cloudllm_provider_script import Script

ROLES = "\n".join(
    f'[[{number}]]\nsay = "This is number {number},  said\\nslowly."\npause = 0.001' for number in range(1, 6)
)


class TestScript(ProviderContract):
    """Roles of one line each, said again and again."""

    model = "1"

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Provider:
        path = tmp_path / "script.toml"
        path.write_text(ROLES, "utf-8")
        return Script(path, loop=True)

    @pytest.fixture
    def failing(self, tmp_path: Path) -> Sequence[Provider]:
        over, fails, other = (tmp_path / name for name in ("over.toml", "fails.toml", "other.toml"))
        over.write_text("1 = []", "utf-8")
        fails.write_text('[[1]]\nfail = "the model is overloaded"', "utf-8")
        other.write_text('[[2]]\nsay = "Hm."', "utf-8")
        broken = tmp_path / "broken.toml"
        broken.write_text("[[", "utf-8")
        return [Script(over), Script(fails, loop=True), Script(other), Script(broken), Script(tmp_path / "gone.toml")]

    def request(self, text: str) -> Request:
        number = "".join(letter for letter in text if letter.isdigit())
        return attrs.evolve(super().request(text), model=number)
