"""
The hub: routes what was said, counts what it cost, announces what happened.

One transcript per run, and for each agent a cursor into it. Before its turn an agent hears what the
others said since its last one, as user content with the speaker's name; never its own words, nothing
twice. Tool calls and their results stay between an agent and its model.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import attrs

from ._branches import Branches
from ._calls import Member
from ._contracts import Effect
from ._effects import Timer
from ._events import AgentResponded, AgentSelected, Event, Progress, RoundCompleted, RoundStarted
from ._journal import encode
from ._messages import Json, Reply
from ._policy import Exposure, by_way_of
from ._prices import Account
from ._registry import Registry
from ._run import Run
from ._shelf import JournalledStore
from ._stores import Store
from ._strands import EffectFailed
from ._threads import in_thread
from ._toolbox import protocols_of
from ._turn import take_turn
from .errors import AgentFailedError, EffectError, SetupError, near_miss

T = TypeVar("T")

GO_ON = "Go on."
"""What an agent is told when its prompt was said already and nobody has said anything since."""


@attrs.define(eq=False)
class RunHub:
    """What a mode receives as its `Hub`."""

    run: Run
    members: Mapping[str, Member]
    mode: str
    seed: str
    registry: Registry
    stop_on_failure: bool = False
    rounds: int = 0
    asked: int = 0
    failures: list[AgentFailedError] = attrs.Factory(list)
    said: list[Reply] = attrs.Factory(list)
    tasks: dict[str, Account] = attrs.Factory(dict)
    """What each task has cost."""

    sources: list[str] = attrs.Factory(list)
    """Beside each reply: what text from outside the team it may pass on."""
    _heard: dict[str, int] = attrs.Factory(dict)
    _told: dict[str, set[str]] = attrs.Factory(dict)

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(self.members)

    @property
    def transcript(self) -> tuple[Reply, ...]:
        return tuple(self.said)

    @property
    def everyone_spoke(self) -> bool:
        return 0 < self.asked == len(self.said)

    @property
    def exposure(self) -> Exposure:
        return next(iter(self.members.values())).exposure

    @property
    def run_id(self) -> str:
        return self.run.id

    def describe(self, agent: str) -> str:
        return self._member(agent).expertise

    def abilities(self, agent: str) -> frozenset[str]:
        member = self._member(agent)
        return frozenset([*member.toolbox.offers, *member.tags])

    def _member(self, agent: str) -> Member:
        member = self.members.get(agent)
        if member is None:
            known = ", ".join(self.members)
            raise SetupError(
                f"No agent is called {agent!r} (agents: {known}). {near_miss(agent, list(self.members))}".rstrip()
            )
        return member

    # -- asking ---------------------------------------------------------------

    @asynccontextmanager
    async def round(self) -> AsyncIterator[int]:
        self.run.ledger.reserve("rounds")
        self.rounds += 1
        number = self.rounds
        self.announce(RoundStarted(round=number))
        try:
            yield number
        except BaseException:
            if not self.run.spine.over and self.run.spine.failure is None:
                self.announce(RoundCompleted(round=number, complete=False))
            raise
        self.announce(RoundCompleted(round=number))

    async def ask(
        self, agent: str, prompt: str, *, note: str | None = None, tools: Sequence[Any] = (), reason: str | None = None
    ) -> Reply:
        try:
            return await self._ask(self._member(agent), prompt, note, tools, reason, len(self.said))
        except AgentFailedError:  # the mode can read what it says
            self.exposure.mode = self.exposure.mode or self._member(agent).broke
            raise

    async def _ask(
        self, member: Member, prompt: str, note: str | None, tools: Sequence[Any], reason: str | None, upto: int
    ) -> Reply:
        """One turn; *upto* is the point of the transcript up to which *member* hears."""
        name, spine = member.name, self.run.spine
        with spine.hold(name):
            since = self._heard.get(name, 0)
            news = [f"{reply.agent}: {reply.text}" for reply in self.said[since:upto] if reply.agent != name]
            told = self._told.setdefault(name, set())
            heard = zip(self.said[since:upto], self.sources[since:upto], strict=True)
            exposed = next((source for reply, source in heard if source and reply.agent != name), "")
            extra = protocols_of(tools)
            offered = [encode(one.to_json()) for protocol in extra for one in protocol.tools()]
            exposed = exposed or self.exposure.of_mode((prompt, note, *offered))
            texts = ["\n\n".join(news)] if news else []
            task = None if prompt in told else prompt
            if task is not None or not texts:
                texts.append(GO_ON if task is None else prompt)

            def moved_on() -> None:
                self._heard[name] = max(upto, since)
                told.add(prompt)

            self.asked += 1
            spine.note(AgentSelected(agent=name, reason=reason or self._reason()))
            try:
                reply = await take_turn(
                    self.run,
                    member,
                    texts,
                    note=note,
                    task=task,
                    extra=extra,
                    hub=self,
                    exposed=exposed,
                    on_kept=moved_on,
                )
            except AgentFailedError as failure:
                self.failures.append(failure)
                raise
            self.said.append(reply)
            source = by_way_of(member.session.exposed, name)
            self.sources.append(source)
            self.exposure.mode = self.exposure.mode or source
            tokens = reply.usage.total or None
            spine.note(AgentResponded(agent=name, tokens_used=tokens, response_length=len(reply.text)))
            return reply

    def _reason(self) -> str:
        return f"{self.mode}, round {self.rounds}" if self.rounds else self.mode

    async def try_ask(
        self, agent: str, prompt: str, *, note: str | None = None, tools: Sequence[Any] = (), reason: str | None = None
    ) -> Reply | None:
        try:
            return await self._ask(self._member(agent), prompt, note, tools, reason, len(self.said))
        except AgentFailedError:
            if self.stop_on_failure:
                raise
            return None

    def ask_all(
        self,
        agents: Iterable[str],
        prompt: str,
        *,
        note: str | None = None,
        tools: Sequence[Any] = (),
        reason: str | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Reply]]:
        members = [self._member(agent) for agent in agents]
        if len(members) != len({member.name for member in members}):
            raise SetupError("ask_all was given an agent twice; an agent takes one turn at a time.")
        upto = len(self.said)  # nobody hears this round
        branches = [
            (member.name, lambda member=member: self._ask(member, prompt, note, tools, reason, upto))
            for member in members
        ]
        return Branches(self.run.spine, branches, not self.stop_on_failure)

    def each(
        self, fn: Callable[[Any], Awaitable[T]], items: Iterable[Any]
    ) -> AbstractAsyncContextManager[AsyncIterator[T]]:
        spine = self.run.spine
        lane = spine.here().lanes[-1]
        lane.position += 1
        place = f"{lane.name}/{lane.position}"

        async def branch(name: str, item: Any) -> T:
            with spine.hold(name):
                return await fn(item)

        names = ((f"{place}.{index}", item) for index, item in enumerate(items, 1))
        branches = [(name, lambda name=name, item=item: branch(name, item)) for name, item in names]
        return Branches(spine, branches, False)

    # -- everything else ------------------------------------------------------

    def announce(self, event: Event) -> None:
        self.run.spine.note(event)

    def charge(self, agent: str, task: str) -> None:
        bill = self._member(agent).bill.take()
        self.tasks.setdefault(task, Account()).add(bill.usage, bill.cost)

    def progress(self, done: int, total: int) -> None:
        self.announce(Progress(done=done, total=total))

    async def do(self, name: str, fn: Callable[..., Any], *args: Any, effect: Effect = "read") -> Any:
        async def perform(key: str) -> Json:
            if asyncio.iscoroutinefunction(fn):
                return await fn(*args)
            result = await in_thread(fn, *args)
            return await result if asyncio.iscoroutine(result) else result

        if effect not in ("read", "idempotent", "write"):
            raise SetupError(f"hub.do({name!r}, effect={effect!r}): it may be 'read', 'idempotent' or 'write'.")
        spine = self.run.spine
        self.exposure.acts(effect)
        try:
            return await spine.wait(spine.request("do", effect, {"name": name, "args": list(args)}, perform))
        except EffectFailed as problem:
            raise EffectError(name, f"{problem.type}: {problem.message}") from problem
        finally:
            self.exposure.acts("read")

    def store(self, store: Store | str | Mapping[str, Any]) -> Store:
        built: Store = self.registry.build("store", store)
        if built is not store:
            self.run.closers.append(built.aclose)
        return JournalledStore(self.do, built)

    def now(self) -> float:
        clock = self.run.spine.tape.clock
        return float(self.run.spine.instant("now", None, clock))

    async def sleep(self, seconds: float) -> None:
        async def perform(key: str) -> None:
            await asyncio.sleep(seconds)

        spine = self.run.spine
        await spine.wait(spine.request("sleep", "read", seconds, perform))

    def timeout(self, seconds: float) -> Timer:
        return self.run.spine.timeout(seconds)

    def random(self) -> random.Random:
        lane = self.run.spine.here().lanes[-1]
        lane.draws += 1
        return random.Random(f"{self.seed}/{lane.name}/{lane.position}/{lane.draws}")  # noqa: S311 -- for variety, not secrecy
