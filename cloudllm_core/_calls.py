"""
Members (an agent's part in one run) and the calls of one reply: each gets exactly one result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ._contracts import Hub, Provider, ToolContext
from ._events import Event, ToolCallRefused
from ._journal import digest_text, encode
from ._limits import Limits
from ._messages import NO_USAGE, Completion, Json, JsonObject, ToolCall, ToolResult, Usage
from ._output import Shape
from ._policy import Approve, Exposure, consult, sources_of
from ._prices import Account, PriceBook, Tariff
from ._run import Run
from ._session import Session, estimate_tokens
from ._strands import EffectFailed, Pending, Strand
from ._strategies import ContextStrategy
from ._thoughts import ThoughtChain
from ._tool import text_of
from ._toolbox import OUTPUT_CAP, OwnWords, Toolbox, recorded_tools
from .errors import LimitReachedError, ModeError, SetupError

AT_LIMIT = "Not run: this turn may make {allowed} tool calls, and they are used up. Answer with what you have."

APPROVE = "a person must allow each call"


@attrs.define(eq=False)
class Member:
    """An agent's part in one run."""

    name: str
    model: str
    provider: Provider
    instructions: str
    session: Session
    toolbox: Toolbox
    strategy: ContextStrategy | None = None
    expertise: str = ""
    options: Mapping[str, Any] = attrs.Factory(dict)
    max_tool_calls: int = 25
    max_output: int | None = None
    tariff: Tariff | None = None
    approver: Approve | None = None
    exposure: Exposure = attrs.Factory(Exposure)
    thoughts: ThoughtChain | None = None
    thoughts_kept: int = 0
    """How many thoughts the chain held when the run began, and since then."""

    identity: JsonObject = attrs.Factory(dict)
    """Who the agent is, for its thought chain."""

    broke: str = ""
    """What had exposed its last turn that failed."""

    shape: Shape | None = None
    tags: tuple[str, ...] = ()
    waiting: list[Event] = attrs.Factory(list)
    """What happened to the agent outside runs, to be announced with its next turn."""

    account: Account = attrs.Factory(Account)
    """What it cost in this run, failed turns included."""

    bill: Account = attrs.Factory(Account)
    """What of that is charged to no task yet."""

    _frame: tuple[str, int] | None = None
    _coming: list[Toolbox] = attrs.Factory(list)

    def to_json(self) -> dict[str, Json]:
        """What a replay must find unchanged."""
        return {
            "name": self.name,
            "model": self.model,
            "provider": self.provider.name,
            "instructions": self.instructions,
            "tools": self.toolbox.digest,
            "options": dict(self.options),
            "strategy": None if self.strategy is None else self.strategy.name,
            "max_tokens": self.session.max_tokens,
            "max_tool_calls": self.max_tool_calls,
            "max_output": self.max_output,
        }

    @property
    def usage(self) -> Usage:
        return self.account.usage

    def pay(self, completion: Completion) -> None:
        """Put *completion* on the accounts."""
        usage, cost = completion.usage, None
        if self.tariff is not None and usage is not None:
            cost = self.tariff.of(completion).cost(usage)
        for account in (self.account, self.bill):
            account.add(usage or NO_USAGE, cost)

    @property
    def frame(self) -> tuple[str, int]:
        """Digest and estimate of what every request of this agent begins with."""
        if self._frame is None:
            text = encode([self.model, self.instructions, dict(self.options)])
            self._frame = digest_text(text), estimate_tokens(self.instructions) if self.instructions else 0
        return self._frame

    def retool(self, run: Run, protocol: str, added: bool, toolbox: Toolbox) -> None:
        """Have the next model call see *toolbox*. It comes from outside, so it is an input of the run."""
        tools = [attrs.asdict(definition) for definition in toolbox.definitions]
        sources: list[Json] = [list(sources_of(offer.protocol)) for offer in toolbox.offers.values()]
        self._coming.append(toolbox)
        about = {"what": "tools", "agent": self.name, "protocol": protocol, "added": added}
        run.input(about | {"tools": tools, "sources": sources})

    def take_tools(self, body: Mapping[str, Any]) -> None:
        """The input has been admitted; in a replay, the tools are those that were recorded."""
        self.toolbox = self._coming.pop(0) if self._coming else recorded_tools(body)


def price(members: Iterable[Member], book: PriceBook | None, limits: Limits) -> None:
    """Tell *members* what their tokens cost. Raises: SetupError: money is limited, and a price is not known."""
    for member in members:
        if book is not None:
            member.tariff = Tariff(book, member.provider.name, member.model)
        if limits.cost is not None and (member.tariff is None or member.tariff.cost(Usage(1, 1)) is None):
            raise SetupError(
                f"The cost is limited, and nobody knows what {member.provider.name}:{member.model} costs. "
                "Install prices (pip install cloudllm-prices-genai), give some (prices=), or limit tokens instead."
            )


@attrs.define(eq=False)
class Job:
    """One call of a reply, on its way to its one result."""

    call: ToolCall
    result: ToolResult | None = None
    approval: Pending | None = None
    effect: Pending | None = None

    @property
    def happened(self) -> bool:
        """Whether it may have changed something that a retry would change again."""
        effect = self.effect
        return effect is not None and effect.effect in ("write", "composite") and effect.outcome in ("ok", "error")

    def settled(self) -> ToolResult | None:
        """The result, as far as there is one."""
        if self.result is None and self.effect is not None and self.effect.outcome in ("ok", "error"):
            value, id = self.effect.value, self.call.id
            failed = self.effect.outcome == "error"
            self.result = ToolResult(id, value["message" if failed else "content"], failed or value["is_error"])
        return self.result


@attrs.define(eq=False)
class Calls:
    """The calls of one reply, run together."""

    run: Run
    member: Member
    toolbox: Toolbox
    hub: Hub | None
    iteration: int
    jobs: list[Job]
    exposed: str = ""
    """What the session was exposed by when the model asked for these calls."""

    @property
    def happened(self) -> bool:
        """Whether one of them may have changed something for good."""
        return any(job.happened for job in self.jobs)

    def results(self) -> list[ToolResult]:
        """What is known by now, in call order."""
        return [result for job in self.jobs if (result := job.settled()) is not None]

    async def perform(self, left: int) -> list[ToolResult]:
        """Run at most *left* of them; the others are answered, not run. Results in call order."""
        wait = self.run.spine.wait
        for nth, job in enumerate(self.jobs):
            if nth >= left:
                refusal: str | None = AT_LIMIT.format(allowed=self.member.max_tool_calls)
            else:
                refusal = self.toolbox.refusal(job.call)
            if refusal is not None:
                self.refuse(job, refusal)
            elif (why := self.why_ask(job.call)) is not None:
                job.approval = self.ask_approval(job.call, why)
            else:
                job.effect = self.begin(job.call)
        for job in self.jobs:
            if job.approval is not None:
                await self.heed(job, job.approval)
        for job in self.jobs:
            if job.effect is not None and job.effect.outcome is None:
                try:
                    await wait(job.effect)
                except EffectFailed:
                    continue  # its message becomes the result
        self.raise_what_stops_the_run()
        return self.results()

    def why_ask(self, call: ToolCall) -> str | None:
        """Why a person must allow *call*; None if nobody need."""
        definition = self.toolbox.offers[call.name].definition
        why = self.member.exposure.policy.why(definition, self.exposed) if self.exposed else None
        if definition.approve:
            return APPROVE if why is None else f"{APPROVE}; {why}"
        return why

    def expose(self) -> str:
        """What the results expose the session to."""
        source = self.exposed
        for job in self.jobs:
            effect = job.effect
            if effect is None or effect.outcome not in ("ok", "error") or "own_words" in effect.value:
                continue
            offer = self.toolbox.offers[job.call.name]
            source = source or self.member.exposure.of_result(offer.definition, offer.protocol)
        return source

    def refuse(self, job: Job, reason: str) -> None:
        """Answer a call without making it."""
        job.result = ToolResult(job.call.id, reason, is_error=True)
        call = job.call
        self.run.spine.note(
            ToolCallRefused(
                agent=self.member.name,
                tool_name=call.name,
                parameters=call.arguments,
                iteration=self.iteration,
                call_id=call.id,
                reason=reason,
            )
        )

    def about(self, call: ToolCall) -> dict[str, Json]:
        return {"tool": call.name, "call_id": call.id, "arguments": call.arguments, "iteration": self.iteration}

    def begin(self, call: ToolCall) -> Pending:
        """Begin one call; its position is taken at once."""
        toolbox, offer = self.toolbox, self.toolbox.offers[call.name]
        definition = offer.definition
        self.member.exposure.begins(definition, offer.protocol, self.exposed)
        if definition.effect == "composite":
            return self.begin_composite(call)

        async def perform(key: str) -> dict[str, Json]:
            async with self.run.gate(definition):
                result = await toolbox.call(call, self.context(call, key, definition.timeout))
            own = {"own_words": True} if isinstance(result, OwnWords) else {}
            return {"content": result.content, "is_error": result.is_error, **own}

        return self.run.spine.request("tool", definition.effect, self.about(call), perform)

    def context(self, call: ToolCall, key: str, timeout: float, hub: Hub | None = None) -> ToolContext:
        deadline = asyncio.get_running_loop().time() + timeout
        return ToolContext(
            agent=self.member.name, run_id=self.run.id, call_id=call.id, key=key, deadline=deadline, hub=hub
        )

    def begin_composite(self, call: ToolCall) -> Pending:
        """A call that is mode code: a strand of its own, in a lane of its own, run again on replay."""
        spine, protocol = self.run.spine, self.toolbox.offers[call.name].protocol
        pending = spine.request("tool", "composite", self.about(call), _never)
        lane = f"{pending.lane.name}/{pending.position}"

        async def body() -> Any:
            with spine.hold(lane):
                context = self.context(call, f"{self.run.id}/{lane}", float("inf"), self.hub)
                return await protocol.call(call.name, call.arguments, context)

        def on_end(strand: Strand) -> None:
            error = strand.error
            if isinstance(error, asyncio.CancelledError):
                spine.finish(pending, "cancelled", None)
            elif isinstance(error, Exception):
                spine.finish(pending, "ok", {"content": f"{type(error).__name__}: {error}", "is_error": True})
            elif error is None:
                content = text_of(strand.result, OUTPUT_CAP)[0]
                spine.finish(pending, "ok", {"content": content, "is_error": False})
            else:
                raise error

        pending.branch = spine.spawn(lane, body(), on_end)
        return pending

    def raise_what_stops_the_run(self) -> None:
        """A composite tool is mode code: what breaks a rule or a limit there is not for the model to read."""
        for job in self.jobs:
            branch = job.effect.branch if job.effect is not None else None
            if branch is not None and isinstance(branch.error, (ModeError, LimitReachedError)):
                raise branch.error

    def ask_approval(self, call: ToolCall, why: str) -> Pending:
        async def perform(key: str) -> Any:
            return await consult(self.member.approver, self.member.name, call.name, call.arguments, why)

        return self.run.spine.request("approval", "wait", self.about(call) | {"why": why}, perform)

    async def heed(self, job: Job, approval: Pending) -> None:
        """Begin a call if it was approved; refuse it otherwise, also when asking failed."""
        try:
            answer = await self.run.spine.wait(approval)
        except EffectFailed as problem:
            answer = {"approved": False, "reason": f"asking for approval failed: {problem.message}"}
        if answer["approved"]:
            job.effect = self.begin(job.call)
        else:
            because = f": {answer['reason']}" if answer["reason"] else ""
            self.refuse(job, f"The call was not approved{because}. Do not try it again.")


async def _never(key: str) -> None:
    """Composite effects are performed by their strand."""
