"""The contract of stores."""

from __future__ import annotations

from ._store_lives import StoreLives
from ._store_races import StoreRaces
from ._store_values import StoreValues
from ._store_writes import StoreWrites


class StoreContract(StoreValues, StoreWrites, StoreLives, StoreRaces):
    """
    What every store promises. Subclass it and write the fixture ``store``: one that is empty.

    Override `another` where several processes can share what the store holds, and `advance` where
    its clock can be set; where it cannot, make ``lifetime`` short, for then it is waited for.
    """
