"""
What a plugin promises, as tests: one class of claims for each contract.

Subclass the one for your plugin in your tests, and write the one fixture it asks for::

    class TestChorus(ModeContract):
        @pytest.fixture
        def mode(self) -> Mode:
            return Chorus(voices=3)

Each claim is a test with a sentence. What a class cannot guess (how a provider is made to fail, how
many turns a mode may take) is a class variable, a method or a second fixture with a default, to be
overridden. Chance is drawn from seeds, so what broke breaks again. Needs pytest: ``pip install
cloudllm-core[testing]``.
"""

import pytest

ROOMS = (
    "_commands", "_images", "_journals", "_mode_cast", "_mode_faults", "_mode_replays", "_mode_runs", "_mode_shape",
    "_modes", "_providers", "_sinks", "_store_cast", "_store_lives", "_store_races", "_store_values", "_store_writes",
    "_stores", "_strategies", "_thoughts", "_tools",
)  # fmt: skip
"""Where the claims are; pytest must know before they are imported, to tell in detail what an assert found."""

pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in ROOMS))

from ._commands import CommandContract  # noqa: E402
from ._images import ImageGeneratorContract  # noqa: E402
from ._journals import JournalContract  # noqa: E402
from ._modes import ModeContract  # noqa: E402
from ._providers import ProviderContract  # noqa: E402
from ._sinks import EventSinkContract  # noqa: E402
from ._stores import StoreContract  # noqa: E402
from ._strategies import ContextStrategyContract  # noqa: E402
from ._thoughts import ThoughtChainContract  # noqa: E402
from ._tools import ToolProtocolContract  # noqa: E402

__all__ = [
    "CommandContract",
    "ContextStrategyContract",
    "EventSinkContract",
    "ImageGeneratorContract",
    "JournalContract",
    "ModeContract",
    "ProviderContract",
    "StoreContract",
    "ThoughtChainContract",
    "ToolProtocolContract",
]
