"""
What a plugin promises, as tests: one class of claims for each contract.

Subclass the one for your plugin in your tests, and write the one fixture it asks for::

    class TestChorus(ModeContract):
        @pytest.fixture
        def mode(self) -> Mode:
            return Chorus(voices=3)

Each claim is a test with a sentence. What a class cannot guess (how a provider is made to fail, how
many turns a mode may take) is a class variable or a method with a default, to be overridden. Chance
is drawn from seeds, so what broke breaks again. Needs pytest: ``pip install cloudllm-core[testing]``.
"""

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in ("commands", "journals", "modes", "mode_faults")))
pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in ("providers", "sinks", "strategies", "tools")))

from .commands import CommandContract  # noqa: E402 -- pytest must know of them before they are imported
from .journals import JournalContract  # noqa: E402
from .modes import ModeContract  # noqa: E402
from .providers import ProviderContract  # noqa: E402
from .sinks import EventSinkContract  # noqa: E402
from .strategies import ContextStrategyContract  # noqa: E402
from .tools import ToolProtocolContract  # noqa: E402

__all__ = [
    "CommandContract",
    "ContextStrategyContract",
    "EventSinkContract",
    "JournalContract",
    "ModeContract",
    "ProviderContract",
    "ToolProtocolContract",
]
