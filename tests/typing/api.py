"""
A user's code, as a user would write it: checked by ``mypy --strict``, never run.

Every public name is used once the way the documentation shows it; `assert_type` says what comes back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import Any, ClassVar, assert_type

import attrs

import cloudllm_core
from cloudllm import (
    Agent,
    AgentTeams,
    Claim,
    Command,
    Completion,
    Console,
    ContextStrategy,
    ContextView,
    Cut,
    Emit,
    Event,
    EventSink,
    FileError,
    FileSystem,
    Functions,
    Hub,
    Image,
    Item,
    Journal,
    JournalText,
    Jsonl,
    JsonlThoughts,
    Limits,
    Line,
    Memory,
    MemoryStore,
    Message,
    Mode,
    NoveltyAware,
    OpenAI,
    Orchestration,
    Outcome,
    Parallel,
    PastEnds,
    Pool,
    Prefixed,
    Private,
    Provider,
    Quorum,
    Ralph,
    RalphIterationStarted,
    RalphTask,
    RalphTaskCompleted,
    Record,
    Registry,
    Reply,
    Request,
    RoundRobin,
    Run,
    RunResult,
    Script,
    SelfCompression,
    Signal,
    SqliteStore,
    StopReason,
    Store,
    Text,
    Thinking,
    Thought,
    ThoughtType,
    Tool,
    ToolCall,
    ToolContext,
    ToolDefinition,
    ToolProtocol,
    ToolResult,
    Trim,
    Usage,
    WorkItem,
    default_registry,
    hookimpl,
    ids_in,
    lines_for,
    load_records,
    read_script,
    repair_history,
    tool,
    validate_history,
)
from cloudllm_core import errors, events
from cloudllm_core.testing import (
    Faults,
    Notebook,
    ScriptedProvider,
    Show,
    Simulation,
    call,
    cast,
    rehearse,
    simulate,
    stage,
)

# -- tools --------------------------------------------------------------------


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool(timeout=30, effect="read", needs=["network"], approve=True, concurrency=2)
async def search(query: str, limit: int = 5) -> list[str]:
    """Search the web.

    Args:
        query: what to look for
        limit: at most this many results
    """
    return [query] * limit


@tool(effect="composite")
async def vote(hub: Hub, choice: str) -> str:
    """Vote."""
    return (await hub.ask(hub.agents[0], choice)).text


class Account:
    """Methods are tools, too."""

    @tool(effect="write")
    async def pay(self, amount: int, context: ToolContext) -> str:
        """Pay."""
        return f"{context.agent} paid {amount}"


async def tools_stay_functions() -> None:
    assert_type(add(1, b=2), int)
    assert_type(await search("x", limit=3), list[str])
    assert_type(add.definition, ToolDefinition)
    assert_type(Account().pay.definition, ToolDefinition)
    known: Tool[..., Any] = add
    functions: ToolProtocol = Functions([add, search])
    assert_type(functions.tools(), Sequence[ToolDefinition])
    Prefixed(functions, prefix="web_")
    add("one")  # type: ignore[arg-type] # a wrong argument is found
    print(known.definition.name)


class Dice(ToolProtocol):
    """A source of tools of one's own."""

    name: ClassVar[str] = "dice"

    def tools(self) -> Sequence[ToolDefinition]:
        return [ToolDefinition(name="roll", description="Roll.", parameters={"type": "object"}, effect="read")]

    async def call(self, tool: str, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        assert_type(context.deadline, float)
        assert_type(context.hub, Hub | None)
        return 4


# -- agents and orchestrations ------------------------------------------------

ada = Agent(
    "ada",
    "openai:gpt-5.6",
    "Argue for.",
    expertise="games",
    personality="terse",
    metadata={"team": "red"},
    tools=[add, search, Account().pay, Dice(), FileSystem(Path("out"), read_only=True), "filesystem"],
    strategy=Trim(turns=4),
    options={"temperature": 0.2},
    max_tokens=64_000,
    max_tool_calls=10,
    limits=Limits(calls=9),
)
bob = Agent("bob", OpenAI(base_url="http://127.0.0.1:8080/v1"), strategy="trim")
cyn = Agent("cyn", {"name": "openai:gpt-5.6", "timeout": 60.0}, registry=default_registry())
dan = Agent("dan", ScriptedProvider("Hello.", call("add", a=1, b=2), repeat=True))
nobody = Agent("nobody")  # type: ignore[call-arg] # a model is needed

team = Orchestration(
    [ada, bob, cyn],
    mode=Parallel(rounds=2, require="all", stop_early=True),
    name="debate",
    system_context="You build a game.",
    sinks=["console", Console(verbose=True), {"name": "console", "verbose": True}, Notebook()],
    limits=Limits(rounds=3, calls=20, seconds=60.0),
    on_failure="stop",
    approver=lambda agent, tool, arguments: agent == "ada",
)
Orchestration([ada], "round-robin")
Orchestration([ada], {"name": "round-robin", "rounds": 2}, limits={"calls": 3})
Orchestration([ada], RoundRobin(rounds=2))
Orchestration([ada], Ralph([RalphTask("html", "Page", "Create it", after=("css",))], max_iterations=5))
Orchestration([ada], RoundRobin(), on_failure="ignore")  # type: ignore[arg-type] # one of two words
assert_type(Orchestration.from_settings({"mode": "ralph", "agents": []}), Orchestration)


def in_a_script() -> None:
    result = team.run_sync(
        "Should we rewrite it?", fresh=True, limits=Limits(calls=3), journal=Jsonl.create("run.jsonl")
    )
    assert_type(result, RunResult)
    assert_type(result.require_complete(), RunResult)
    assert_type(result.answer, str | None)
    assert_type(result.complete, bool)
    assert_type(result.score, float | None)
    assert_type(result.messages, tuple[Reply, ...])
    assert_type(result.usage, Usage)
    assert_type(result.usage_by_agent, Mapping[str, Usage])
    assert_type(result.usage_by_agent["ada"].total, int)
    assert_type(result.error, BaseException | None)
    assert_type(result.sessions_kept, bool)
    assert_type(ada.send_sync("Hello."), Reply)


async def in_a_loop() -> None:
    run = team.run("Should we rewrite it?", seed="7")
    assert_type(run, Run)
    async for record in run:
        assert_type(record, Record)
        assert_type(record.event, Event)
        match record.event:
            case events.AgentResponded(agent=agent, tokens_used=tokens):
                assert_type(agent, str)
                assert_type(tokens, int | None)
            case events.ToolExecutionCompleted(success=False, error=problem):
                assert_type(problem, str | None)
            case RalphTaskCompleted(task_ids=ids) | RalphIterationStarted(tasks_total=ids):
                print(ids)
            case events.RunCompleted(is_complete=complete):
                assert_type(complete, bool)
            case _:
                pass
    assert_type(await run, RunResult)
    async with team.run("Again.") as again:
        async for signal in again.signals():
            assert_type(signal, Signal)
            if isinstance(signal, events.LLMContentDelta):
                assert_type(signal.text, str)
        again.cancel()
    assert_type(run.records, list[Record])
    assert_type(await team.replay(run.records), RunResult)
    await team.aclose()


async def with_one_agent() -> None:
    assert_type(await ada.send("Hello."), Reply)
    assert_type((await ada.send("Hello.")).text, str)
    async for piece in ada.stream("Hello."):
        assert_type(piece, str)
    assert_type(await ada.generate("Hello."), str)
    ada.receive_message("A letter.")
    ada.set_system_prompt("Be kind.")
    assert_type(ada.session_history_len, int)
    assert_type(ada.fork("eve"), Agent)
    assert_type(ada.fork_with_context(), Agent)
    assert_type(ada.restore([Message.user("Hello.")]), list[str])
    assert_type(ada.add_protocol(Dice()), str)
    ada.remove_protocol("dice")
    assert_type(ada.list_tools(), tuple[str, ...])
    team.add_agent(dan)
    assert_type(team.remove_agent("dan"), Agent)
    assert_type(team.agents, tuple[Agent, ...])


# -- messages -----------------------------------------------------------------


def messages() -> None:
    asked = ToolCall("c1", "search", {"query": "x"})
    history = [
        Message.user("Hello."),
        Message("user", (Text("See."), Image("image/png", url="https://example.org/a.png"))),
        Message("assistant", (Thinking("hm", provider="acme"), Private("acme", "m1", {}), asked)),
        Message.tool([ToolResult("c1", "found", is_error=False)]),
        Message.assistant("Done."),
    ]
    validate_history(history)
    assert_type(repair_history(history), tuple[list[Message], list[str]])
    assert_type(history[0].text, str)
    assert_type(history[2].tool_calls, tuple[ToolCall, ...])
    assert_type(Usage(input=1) + Usage(output=2), Usage)
    stop: StopReason = "end"
    assert_type(Completion(history[-1], stop, Usage(), model="m1"), Completion)
    Message("system", ())  # type: ignore[arg-type] # there is no such role
    Message.user("a").role = "tool"  # type: ignore[misc] # values do not change


# -- a mode -------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Applause(Event):
    """An event of a mode's own."""

    loudness: int


@attrs.frozen
class Chorus(Mode):
    """Everyone at once, then the loudest once more."""

    name: ClassVar[str] = "chorus"
    rounds: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        assert_type(hub.agents, tuple[str, ...])
        assert_type(hub.transcript, tuple[Reply, ...])
        async with hub.round() as number:
            assert_type(number, int)
            async with hub.ask_all(hub.agents, prompt, note="Sing.", tools=[add]) as replies:
                async for reply in replies:
                    assert_type(reply, Reply)
        reply = await hub.ask("ada", prompt, reason="the loudest")
        assert_type(await hub.try_ask("bob", prompt), Reply | None)
        branches: AbstractAsyncContextManager[AsyncIterator[Any]] = hub.each(self.sing, hub.agents)
        async with branches as ends:
            async for _end in ends:
                break
        hub.announce(Applause(loudness=7))
        hub.progress(1, 2)
        await hub.do("applaud", len, reply.text, effect="read")
        assert_type(hub.now(), float)
        await hub.sleep(0.1)
        async with hub.timeout(5):
            pass
        assert_type(hub.random(), Random)
        assert_type(hub.describe("ada"), str)
        return Outcome(complete=hub.everyone_spoke, score=0.5, answer=reply.text, stop_reason="completed")

    async def sing(self, agent: str) -> str:
        return agent


@hookimpl
def cloudllm_register_mode() -> type[Chorus]:
    return Chorus


assert_type(Chorus.from_settings({"rounds": 2}), Chorus)
assert_type(Chorus().settings(), dict[str, Any])


# -- other contracts ----------------------------------------------------------


class Acme(Provider):
    """A way to reach a family of models."""

    name: ClassVar[str] = "acme"

    async def complete(self, request: Request) -> Completion:
        assert_type(request.messages, tuple[Message, ...])
        assert_type(request.tools, tuple[ToolDefinition, ...])
        raise errors.RateLimited("too many", self.name, request.model, 429, retry_after=2.0)

    async def stream(self, request: Request, emit: Emit) -> Completion:
        emit("content", "Hello.")
        emit("thought", "hm")  # type: ignore[arg-type] # content or reasoning
        return await self.complete(request)


@attrs.frozen
class Half(ContextStrategy):
    """Keeps half of what there is."""

    name: ClassVar[str] = "half"

    def choose(self, view: ContextView) -> Cut | None:
        assert_type(view.load, float)
        assert_type(view.cuts, tuple[Cut, ...])
        return view.cuts[len(view.cuts) // 2] if view.cuts else None


class Bell(EventSink):
    """Rings."""

    name: ClassVar[str] = "bell"

    def receive(self, record: Record) -> None:
        print(record.number, record.lane, record.time.isoformat(), lines_for(record, verbose=True))

    def signal(self, signal: Signal) -> None:
        print(signal.agent)


class Tape(Journal):
    """Keeps lines."""

    name: ClassVar[str] = "tape"

    @classmethod
    def create(cls, target: str) -> Tape:
        return cls()

    @classmethod
    def read(cls, target: str) -> JournalText:
        return JournalText(target, (b"",))

    def append(self, line: bytes, durable: bool) -> None:
        print(line, durable)


class Incomplete(Mode):
    """A mode without its story."""

    name: ClassVar[str] = "incomplete"


Incomplete()  # type: ignore[abstract] # `run` is missing


def plugins() -> None:
    registry = Registry.of()
    assert_type(registry.mode("ralph"), type[Mode])
    assert_type(registry.provider("openai"), type[Provider])
    assert_type(registry.command("run"), type[Command])
    assert_type(registry.names("mode"), tuple[str, ...])
    assert_type(Registry(block=["ralph"], allow="openai,trim"), Registry)
    text = Jsonl.read("run.jsonl")
    assert_type(text, JournalText)
    try:
        assert_type(load_records(text.lines, text.source), list[Record])
    except PastEnds as ends:
        print(ends)
    except errors.TamperedError as tampered:
        assert_type(tampered.number, int)
    except errors.ProviderError as problem:
        assert_type(problem.status, int | None)
        assert_type(problem.retry_after, float | None)
    except FileError as refused:
        assert_type(refused.problem, str)
    assert_type(ids_in("[TASK_COMPLETE:a]"), list[str])
    assert_type(read_script(Path("script.toml")), dict[str, tuple[Line, ...]])
    provider: type[Provider] = Script
    print(provider, cloudllm_core.Agent is Agent)


# -- testing ------------------------------------------------------------------


async def testing() -> None:
    show = await rehearse(Chorus(), {"ada": ["One.", call("add", a=1)], "bob": errors.Overloaded("busy")}, tools=[add])
    assert_type(show, Show)
    assert_type(show.speakers, list[str])
    assert_type(show.notebook.events(Applause), list[Applause])
    assert_type(stage(Chorus(), {"ada": "One."}), Orchestration)
    assert_type(cast({"ada": "One."}), dict[str, ScriptedProvider])
    simulation = simulate(lambda: stage(Chorus(), {"ada": "One."}), seed=7, faults=Faults(provider=0.1, cancel_at=9))
    assert_type(simulation, Simulation)


# -- memory, teams, thoughts, typed answers -----------------------------------


@attrs.frozen
class Plan:
    goal: str


class Bag(Store):
    """A store without its operations."""

    name: ClassVar[str] = "bag"


Bag()  # type: ignore[abstract] # all of them are missing


async def memory() -> None:
    store: Store = SqliteStore("team.db", synchronous="normal")
    item = await store.put("a", {"n": 1}, ttl=60)
    assert_type(item, Item)
    assert_type(await store.compare_and_set("a", item.version, 2, op="me:1"), Item | None)
    assert_type(await store.first("a", {"state": "ready"}), Item | None)
    assert_type(await MemoryStore().snapshot(), dict[str, Any])
    ada = Agent(
        "ada", "openai:gpt-5.6", tools=[Memory(store, namespace="plan")], output=Plan, strategy=SelfCompression()
    )
    assert_type(await ada.generate("Plan it.", Plan), Plan)
    assert_type(await ada.generate("Say it."), str)
    mode = AgentTeams("pool", [WorkItem("a", "do it")], store=store, lease=30)
    assert_type(Orchestration([ada], mode), Orchestration)
    pool = Pool(store, "pool")
    claim = await pool.claim("me")
    assert_type(claim, Claim | None)
    print(NoveltyAware(Trim()), Parallel(aggregate=Quorum(2)))


async def thoughts() -> None:
    chain = JsonlThoughts("notes", fsync="always")
    ada = Agent("ada", "openai:gpt-5.6", thoughts=chain)
    thought = await ada.commit(ThoughtType.FINDING, "It is wet.", refs=[])
    assert_type(thought, Thought)
    assert_type(chain.resolve_context(thought.index), tuple[Thought, ...])
    assert_type(chain.to_catchup_prompt(3), str)
    assert_type(Agent.resume_from_latest(chain, tools=[add]), Agent)
