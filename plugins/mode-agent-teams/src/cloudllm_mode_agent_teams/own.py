"""The pool of a run that shares it with nobody."""

from __future__ import annotations

from cloudllm_core import Hub
from cloudllm_store_memory import MemoryStore


class OwnStore(MemoryStore):
    """
    The run's own: plain state of the mode, which a replay fills again.

    It goes by the run's clock, and reads it only when asked for the time, for each reading is a record.
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(clock=lambda: self.read)
        self.hub, self.read = hub, 0.0

    async def now(self) -> float:
        self.read = self.hub.now()
        return await super().now()
