"""The sink that turns events of a run into thoughts, by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from cloudllm_core import EventSink, Record, ThoughtChain
from cloudllm_core.errors import SettingsError
from cloudllm_core.events import (
    LLMCallCompleted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    UnknownEvent,
)

from .chain import JsonlThoughts

ON: Mapping[str, str] = {
    "AgentResponded": "Finding",
    "RalphTaskCompleted": "TaskComplete",
    "TaskCompleted": "TaskComplete",
}
"""What is committed unless something else is asked for: each answer, and each task that was done."""

SAYING = ("result", "evidence", "answer", "error")
"""Fields of events that say what came of something; the first that is there is the thought."""


class AutoCommit(EventSink):
    """
    Commits a thought to an agent's chain when something happens to it.

    What is committed is what the event itself says came of it (its ``result``, ``evidence``, ``answer`` or
    ``error``),
    else what the agent said last. Where neither is there, nothing is committed.
    """

    name: ClassVar[str] = "thoughts"

    def __init__(
        self,
        chains: Mapping[str, ThoughtChain] | None = None,
        on: Mapping[str, str] = ON,
        *,
        location: str | Path | None = None,
        fsync: Literal["always", "never"] | float = 1.0,
    ) -> None:
        """
        Args:
            chains: by the agents' names; what happens to others is not committed.
            on: names of events to types of thoughts; of events that have an ``agent``.
            location: instead of *chains*, a folder in which each agent gets a chain.
            fsync: of the chains in *location*, see `JsonlThoughts`.

        Raises:
            SettingsError: neither or both of *chains* and *location* are given, or one is something else.
        """
        if (chains is None) == (location is None):
            found = "neither" if chains is None else "both"
            raise SettingsError("thoughts", f"{found} of chains and location", "one of the two")
        for agent, chain in (chains or {}).items():
            if not isinstance(chain, ThoughtChain):
                raise SettingsError(f"thoughts.chains.{agent}", repr(chain), "a ThoughtChain")
        for event, kind in on.items():
            if not isinstance(kind, str):
                raise SettingsError(f"thoughts.on.{event}", repr(kind), "a type of thoughts, such as 'Finding'")
        self._chains = dict(chains or {})
        self._folder = None if location is None else JsonlThoughts(location, fsync=fsync)
        self._on = dict(on)
        self._last: dict[tuple[str, str], str] = {}
        """What each agent of each run said last."""

    def receive(self, record: Record) -> None:
        event = record.event
        if isinstance(event, LLMCallCompleted):
            self._last[record.run_id, event.agent] = event.text
        fields = event.fields if isinstance(event, UnknownEvent) else event.to_json()
        name = event.name if isinstance(event, UnknownEvent) else type(event).__name__
        if name in self._on:
            self._commit(record, name, fields)
        if isinstance(event, (RunStarted, RunCompleted, RunFailed, RunCancelled)):
            self._last = {key: said for key, said in self._last.items() if key[0] != record.run_id}

    def _commit(self, record: Record, name: str, fields: Mapping[str, Any]) -> None:
        agent = fields.get("agent")
        if not isinstance(agent, str):
            return
        said = [fields[key] for key in SAYING if isinstance(fields.get(key), str)]
        content = said[0] if said else self._last.get((record.run_id, agent), "")
        if content.strip() and (chain := self._chain(agent)) is not None:
            meta = {"event": name, "run": record.run_id, "record": record.number}
            chain.append(agent, self._on[name], content, (), meta)

    def _chain(self, agent: str) -> ThoughtChain | None:
        if agent not in self._chains and self._folder is not None:
            self._chains[agent] = self._folder.for_agent({"name": agent})
        return self._chains.get(agent)

    def close(self) -> None:
        for chain in self._chains.values():
            chain.close()
