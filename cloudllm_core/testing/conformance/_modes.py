"""The contract of modes."""

from __future__ import annotations

from ._mode_faults import ModeFaults
from ._mode_replays import ModeReplays
from ._mode_runs import ModeRuns
from ._mode_shape import ModeShape


class ModeContract(ModeRuns, ModeFaults, ModeReplays, ModeShape):
    """
    What every mode promises. Subclass it and write the fixture ``mode``.

    Override where the defaults do not fit: ``names`` and ``fewest`` if settings name agents,
    ``words`` for what the mode reads in answers, ``say`` for what lets it get somewhere,
    ``most_turns`` for its exact bound.
    """
