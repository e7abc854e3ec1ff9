"""
Orchestrations: agents, a mode, sinks and limits; what a user builds and runs.
"""

from __future__ import annotations

import inspect
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, Self, TypeAlias

import attrs

from ._agent import Agent
from ._broadcast import Outlet
from ._calls import price
from ._contracts import Mode
from ._journal import load_records
from ._limits import Limits
from ._messages import Json, Message
from ._outlets import EventSink, Journal
from ._performance import Performance
from ._policy import Approve, Exposure, Policy, sources_of
from ._portal import portal
from ._prices import PriceBook
from ._records import Record, read_event
from ._registry import Registry, default_registry
from ._run import OPEN_AIR, Conditions, Run, RunResult
from ._secrets import Redaction, Secret
from ._session import Session
from ._settings import from_settings, plain, show
from .errors import SettingsError, SetupError, near_miss

OnFailure = Literal["continue", "stop"]
Keeper: TypeAlias = "Journal | str | os.PathLike[str]"


OWN = ("name", "system_context", "limits", "on_failure", "prices", "policy")
"""Keys of a team file that are the orchestration's, as they are."""


IN_PYTHON = ("limits", "output", "approver", "policy", "registry")
"""What an agent takes, but not from a team file."""


@attrs.define(eq=False, init=False)
class Orchestration:
    """
    Agents that work together in one way.

    It can be run again and again, and several times at once: a run borrows the agents' sessions, one
    that starts meanwhile works on copies.
    """

    name: str
    mode: Mode
    system_context: str
    limits: Limits
    on_failure: OnFailure
    approver: Approve | None
    policy: Policy
    prices: PriceBook | None
    registry: Registry
    _secrets: tuple[Secret, ...]
    _agents: dict[str, Agent]
    _outlets: tuple[Outlet, ...]

    def __init__(
        self,
        agents: Iterable[Agent],
        mode: Mode | str | Mapping[str, Any],
        *,
        name: str = "orchestration",
        system_context: str = "",
        sinks: Iterable[EventSink | str | Mapping[str, Any]] = (),
        limits: Limits | Mapping[str, Any] | None = None,
        on_failure: OnFailure = "continue",
        approver: Approve | None = None,
        policy: Policy | Mapping[str, Any] | None = None,
        secrets: Iterable[Secret] = (),
        prices: PriceBook | str | Mapping[str, Any] | None = None,
        registry: Registry | None = None,
    ) -> None:
        """
        Args:
            agents: in the order in which modes see them; names are unique.
            mode: a `Mode`, the name of an installed one, or ``{"name": ..., **settings}``.
            system_context: added to every agent's own instructions.
            sinks: event sinks, or names or mappings as for *mode*.
            limits: `Limits`, or a mapping of them.
            on_failure: whether a run goes on when an agent fails, as far as its mode can.
            prices: what tokens cost, for `RunResult.cost` and a limit on it: a `PriceBook`, or the name of one.
            approver: asked before a tool with ``approve=True``, and where the policy says so; without one, such
                calls are refused. Called with agent, tool, arguments and, if it takes four, why.
            policy: what agents who have read text from outside the team must ask for, or a mapping.
            secrets: what is hidden in sessions and records, besides the keys of providers and tools, and the
                variables of the environment that are called like a key, a token, a secret or a password.

        Raises:
            SetupError, PluginError: something here is wrong; nothing has run.
        """
        self.registry = registry or default_registry()
        self.name, self.system_context, self.approver = name, system_context, approver
        self.policy = from_settings(Policy, policy, "policy") if isinstance(policy, Mapping) else policy or Policy()
        self._secrets = tuple(secrets)
        if not isinstance(self.policy, Policy):
            raise SettingsError("policy", show(policy), "a table, or a Policy")
        if approver is not None and not callable(approver):
            raise SettingsError("approver", show(approver), "a function", "It is given agent, tool, arguments and why.")
        for secret in map(type, self._secrets):
            if secret is not Secret:
                raise SettingsError("secrets", f"a {secret.__name__}", "Secrets: Secret(value, 'ITS_NAME')")
        if on_failure not in ("continue", "stop"):
            raise SettingsError(
                "on_failure", repr(on_failure), "'continue' or 'stop'", near_miss(on_failure, ["continue", "stop"])
            )
        self.on_failure = on_failure
        self.limits = from_settings(Limits, limits, "limits") if isinstance(limits, Mapping) else limits or Limits()
        self.mode = self.registry.build("mode", mode)
        self.prices = self.registry.prices(prices, wanted=self.limits.cost is not None)
        self._agents = {}
        for agent in agents:
            self.add_agent(agent)
        build = self.registry.build
        self._outlets = Outlet.of(build("event_sink", sink, f"sinks[{nth}]") for nth, sink in enumerate(sinks))

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        *,
        registry: Registry | None = None,
        sinks: Sequence[EventSink | str | Mapping[str, Any]] = (),
    ) -> Self:
        """
        Build an orchestration from plain data, as a team file holds it (files are not read here).

        Top-level tables that the mode declares (``Mode.tables``) go to the mode. *sinks* come on top.

        Raises:
            SettingsError: names the key, what was found, what was expected, and the near miss.
        """
        registry = (registry or default_registry()).scope()
        rest = dict(settings)
        mode = _mode_settings(registry, rest)
        agents = rest.pop("agents", None)
        if not isinstance(agents, Sequence) or isinstance(agents, str) or not agents:
            raise SettingsError("agents", "none" if not agents else show(agents), "at least one [[agents]] table")
        for index, table in enumerate(agents):
            if not isinstance(table, Mapping):
                raise SettingsError(f"agents[{index}]", show(table), "a table")
        team = [_agent(registry, table, f"agents[{index}]") for index, table in enumerate(agents)]
        own: dict[str, Any] = {key: rest.pop(key) for key in OWN if key in rest}
        for key in ("name", "system_context"):
            if not isinstance(own.get(key, ""), str):
                raise SettingsError(key, show(own[key]), "text")
        listed = rest.pop("sinks", [])
        if not isinstance(listed, list):
            raise SettingsError("sinks", show(listed), "a list of sinks")
        own["sinks"] = [*listed, *sinks]
        if rest:
            key = next(iter(rest))
            known = ["mode", *OWN, "sinks", "agents", *mode[1]]
            raise SettingsError(key, f"the unknown key {key!r}", "one of " + ", ".join(known), near_miss(key, known))
        return cls(team, mode[0], registry=registry, **own)

    # -- agents ---------------------------------------------------------------

    @property
    def agents(self) -> tuple[Agent, ...]:
        return tuple(self._agents.values())

    def add_agent(self, agent: Agent) -> None:
        """Add *agent*, from the next run on; its session stays as it is. Raises: SetupError: the name is taken."""
        if agent.name in self._agents:
            raise SetupError(f"Two agents are called {agent.name!r}; their words could not be told apart. Rename one.")
        self._agents[agent.name] = agent

    def remove_agent(self, name: str) -> Agent:
        """Take an agent out, from the next run on, and return it."""
        if name not in self._agents:
            raise SetupError(f"No agent is called {name!r}. {near_miss(name, list(self._agents))}".rstrip())
        return self._agents.pop(name)

    # -- running --------------------------------------------------------------

    def run(
        self,
        prompt: str,
        *,
        fresh: bool = False,
        limits: Limits | None = None,
        journal: Keeper | None = None,
        seed: str | None = None,
        conditions: Conditions = OPEN_AIR,
    ) -> Run:
        """
        Start a run: await it for its `RunResult`, iterate it for its records, or both.

        Args:
            prompt: what the agents are to do.
            fresh: work on empty copies of the sessions, and keep nothing.
            limits: instead of the orchestration's, for this run.
            journal: where the records are kept, or the name of a new file for `journal-jsonl`; in memory if None.
            seed: for `Hub.random`; drawn if None, and kept in the journal.
            conditions: clock and order, for tests.

        Raises:
            SetupError: there is nobody to run, or no running event loop.
        """
        return self._begin(prompt, fresh, limits or self.limits, journal, seed, conditions)

    def run_sync(
        self, prompt: str, *, fresh: bool = False, limits: Limits | None = None, journal: Keeper | None = None
    ) -> RunResult:
        """As `run`, for scripts and notebooks: waits for the result. Ctrl-C closes the run cleanly."""

        async def main() -> RunResult:
            return await self.run(prompt, fresh=fresh, limits=limits, journal=journal)

        return portal().call(main)

    async def replay(self, records: Sequence[Record] | str | os.PathLike[str]) -> RunResult:
        """
        Re-enact a journal (its records, or the name of its file): no provider, tool or clock is touched.

        Raises:
            DivergenceError: the first record at which this orchestration does something else.
            PastEnds: the journal ends before its run does. JournalError: it cannot be read or believed.
        """
        if isinstance(records, (str, os.PathLike)):
            text = self.registry.journal("jsonl").read(os.fspath(records))
            records = load_records(text.lines, text.source)
        if not records:
            raise SetupError("There is nothing to replay: the journal holds no records.")
        body = records[0].body
        limits = from_settings(Limits, body["limits"], "limits")
        conditions = Conditions(past=tuple(records))
        return await self._begin(body["prompt"], True, limits, None, body["seed"], conditions)

    def _begin(
        self,
        prompt: str,
        fresh: bool,
        limits: Limits,
        journal: Keeper | None,
        seed: str | None,
        conditions: Conditions,
    ) -> Run:
        if not self._agents:
            raise SetupError("There are no agents to run. Add some: Orchestration([Agent(...), ...], mode=...).")
        if not prompt.strip():
            raise SetupError("The prompt is empty. Say what the agents are to do.")
        agents = self.agents
        free = not fresh and all(agent.session.holder is None for agent in agents)
        sessions = [self._session(agent, free, fresh) for agent in agents]
        pairs = zip(agents, sessions, strict=True)
        members = {agent.name: agent.member(session, self.system_context, self.approver) for agent, session in pairs}
        price(members.values(), self.prices, limits)
        known = [*self._secrets, *[secret for agent in agents for secret in agent.secrets()]]
        hide = Redaction(known, [record.text for record in conditions.past] if conditions.past else None)
        prompt = hide(prompt)
        exposure = Exposure(self.policy, said={prompt})
        offers = [offer for member in members.values() for offer in member.toolbox.offers.items()]
        self.policy.check(name for tool, offer in offers for name in (tool, *sources_of(offer.protocol)))
        for member in members.values():
            member.exposure = exposure
            member.session.clean(hide)
        if past := conditions.past:
            recorded = past[0].body
            for name, member in members.items():
                member.session.load(map(Message.from_json, recorded["sessions"].get(name, ())))
                # what happened to the agents before the run is the recorded run's, too
                member.waiting = [read_event(event) for event in recorded["waiting"].get(name, ())]
                member.thoughts_kept = recorded["thoughts"].get(name, 0)
                member.session.exposed = recorded.get("exposed", {}).get(name, "")
        seed = seed or secrets.token_hex(8)
        start: dict[str, Json] = {
            "orchestration": self.name,
            "mode": self.mode.name,
            "settings": self.mode.settings(),
            "agents": [member.to_json() for member in members.values()],
            "prompt": prompt,
            "limits": plain(limits),
            "on_failure": self.on_failure,
            "seed": seed,
            "thoughts": {m.name: m.thoughts_kept for m in members.values() if m.thoughts is not None},
            "waiting": {m.name: [event.to_json() for event in m.waiting] for m in members.values() if m.waiting},
        }
        if self.policy != Policy():
            start["policy"] = self.policy.to_json()
        if exposed := {m.name: m.session.exposed for m in members.values() if m.session.exposed}:
            start["exposed"] = exposed
        performance = Performance(
            name=self.name,
            mode=self.mode,
            agents=dict(self._agents),
            members=members,
            seed=seed,
            prompt=prompt,
            kept=free,
            stop_on_failure=self.on_failure == "stop",
            registry=self.registry,
        )
        run = Run.begin(
            start,
            performance.story,
            performance.summary,
            sessions={name: member.session.text for name, member in members.items()},
            limits=limits,
            outlets=() if past else self._outlets,
            journal=self._keeper(journal),
            conditions=conditions,
            hide=hide,
        )
        performance.take_hold(run)
        return run

    def _keeper(self, journal: Keeper | None) -> Journal | None:
        if isinstance(journal, (str, os.PathLike)):
            return self.registry.journal("jsonl").create(os.fspath(journal))
        return journal

    def _session(self, agent: Agent, free: bool, fresh: bool) -> Session:
        if fresh:
            return Session(agent.session.max_tokens)
        return agent.session if free else agent.session.copy()

    async def aclose(self) -> None:
        """Close what providers and tools hold, each whatever the others do. It opens again when needed."""
        async with AsyncExitStack() as stack:
            for agent in self.agents:
                stack.push_async_callback(agent.provider.aclose)
                for protocol in agent.toolbox.protocols.values():
                    stack.push_async_callback(protocol.aclose)


def _mode_settings(registry: Registry, rest: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """The mode as *rest* describes it, with the top-level tables it declares; takes them out of *rest*."""
    mode = rest.pop("mode", None)
    table = {"name": mode} if isinstance(mode, str) else mode
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        known = ", ".join(registry.names("mode")) or "none is installed"
        raise SettingsError("mode", "none" if mode is None else show(mode), f"the name of a mode ({known})")
    tables = registry.mode(table["name"]).tables
    more = {key: rest.pop(key) for key in tables if key in rest}
    return registry.build("mode", {**table, **more}), tables


def _agent(registry: Registry, table: Mapping[str, Any], where: str) -> Agent:
    known = [key for key in inspect.signature(Agent).parameters if key not in IN_PYTHON]
    if wrong := next((key for key in table if key not in known), None):
        expected = "limits at the top level, for the whole run" if wrong == "limits" else f"one of {', '.join(known)}"
        raise SettingsError(f"{where}.{wrong}", f"the unknown key {wrong!r}", expected, near_miss(wrong, known))
    try:
        return from_settings(Agent, {**table, "registry": registry}, where)
    except SettingsError as problem:
        if problem.where.startswith(where):
            raise
        raise attrs.evolve(problem, where=f"{where}.{problem.where}") from problem
