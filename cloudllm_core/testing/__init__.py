"""
The kit that CloudLLM and its plugins are tested with: no network, no keys, no waiting.

`cloudllm_core.testing.conformance` (needs pytest: ``pip install cloudllm-core[testing]``) brings one
class of claims for each contract.
"""

from ._notebook import Eavesdropper, Notebook
from ._rehearse import Show, cast, rehearse, stage
from ._script import Line, ScriptedProvider, call
from ._virtual import Faults, Simulation, VirtualLoop, run_virtually, simulate

__all__ = [
    "Eavesdropper",
    "Faults",
    "Line",
    "Notebook",
    "ScriptedProvider",
    "Show",
    "Simulation",
    "VirtualLoop",
    "call",
    "cast",
    "rehearse",
    "run_virtually",
    "simulate",
    "stage",
]
