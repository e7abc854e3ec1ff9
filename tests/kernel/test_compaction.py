"""Making room: asked before each model call, summed up before anything is lost, paid for, and never in circles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar

import attrs
import pytest

from cloudllm_core import (
    Agent,
    Completion,
    ContextStrategy,
    ContextView,
    Cut,
    Desk,
    Hub,
    Limits,
    Message,
    Orchestration,
    Outcome,
    Registry,
    Request,
    Thought,
    ThoughtChain,
    Usage,
    tool,
    validate_history,
)
from cloudllm_core._session import estimate_tokens
from cloudllm_core.errors import AgentFailedError, ContextTooLong, EffectError, ForeignAwaitError, Overloaded, RunError
from cloudllm_core.events import AgentFailed, ContextCompacted, ThoughtCommitted
from cloudllm_core.testing import ScriptedProvider, call
from tests.kernel.stories import Story, alone

TASK = "Watch the sea."
PROMPT = "Sum it up."
LONG = "The sea is calm. " * 25
"""106 tokens."""

COST = Usage(input=10, output=5)


class Notes(ThoughtChain):
    """A chain in memory; *problem* is raised instead of keeping a thought."""

    name: ClassVar[str] = "notes"

    def __init__(self, problem: Exception | None = None) -> None:
        self.kept: list[Thought] = []
        self.problem = problem

    @property
    def thoughts(self) -> Sequence[Thought]:
        return tuple(self.kept)

    def append(self, agent: str, type: str, content: str, refs: Iterable[int] = (), meta: Any = None) -> Thought:
        if self.problem is not None:
            raise self.problem
        checked = self.checked_refs(refs)
        thought = Thought(index=len(self.kept), at=0.0, agent=agent, type=type, content=content, refs=checked)
        self.kept.append(thought)
        return thought


Summarise = Callable[[ContextView, Cut, Desk], Awaitable[Any]]


async def ask(view: ContextView, cut: Cut, desk: Desk) -> str:
    """What a summary is written by, most of the time."""
    return await desk.ask(PROMPT)


async def nothing(view: ContextView, cut: Cut, desk: Desk) -> None:
    """No summary is wanted."""


@attrs.frozen
class Newest(ContextStrategy):
    """Keeps the turn under way once a session fills more than *above* of its budget."""

    name: ClassVar[str] = "newest"
    above: float = 0.8
    how: Summarise = ask
    seen: list[ContextView] = attrs.Factory(list)

    def choose(self, view: ContextView) -> Cut | None:
        self.seen.append(view)
        return view.cuts[-1] if view.cuts and (view.pressed or view.load > self.above) else None

    async def summarise(self, view: ContextView, cut: Cut, desk: Desk) -> str | None:
        result: str | None = await self.how(view, cut, desk)
        return result


class Model(ScriptedProvider):
    """Says *lines* in its turns, over and over the last one, and *summaries* where it may make no calls."""

    name: ClassVar[str] = "model"

    def __init__(self, *lines: Any, summaries: Sequence[Any] = ("It was calm.",)) -> None:
        self.left = [list(lines or (LONG,)), list(summaries)]
        super().__init__(self.says, repeat=True)

    def says(self, request: Request) -> Any:
        lines = self.left[request.tool_choice == "none"]
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        return line(request) if callable(line) and not isinstance(line, type) else line

    @property
    def summaries(self) -> list[Request]:
        """Its requests for a summary."""
        return [request for request in self.requests if request.tool_choice == "none"]

    @property
    def turns(self) -> list[Request]:
        """Its other requests."""
        return [request for request in self.requests if request.tool_choice != "none"]


@attrs.frozen(kw_only=True)
class Told:
    """A conversation, and what came of it."""

    orchestration: Orchestration
    result: Any
    records: Any

    @property
    def ada(self) -> Agent:
        return self.orchestration.agents[0]

    def events(self, kind: type) -> list[Any]:
        return [record.event for record in self.records if isinstance(record.event, kind)]

    def replay(self) -> Any:
        return asyncio.run(self.orchestration.replay(self.records))


def converse(
    model: Model, strategy: ContextStrategy | None, times: int = 4, max_tokens: int = 400, **options: Any
) -> Told:
    """Ask ada for *times* turns on one task; four long ones fill 400 tokens."""
    limits = options.pop("limits", None)

    async def story(hub: Hub) -> Outcome:
        for _ in range(times):
            await hub.try_ask("ada", TASK)
        return Outcome(complete=True)

    ada = Agent("ada", model, strategy=strategy, max_tokens=max_tokens, registry=Registry.of(), **options)
    orchestration = Orchestration([ada], Story(story), registry=Registry.of(), limits=limits)

    async def main() -> Told:
        run = orchestration.run(TASK)
        return Told(orchestration=orchestration, result=await run, records=tuple(run.records))

    told = alone(main)
    for request in model.requests:
        validate_history(request.messages)
    validate_history(told.ada.session.messages)
    return told


def parts_of(message: Message) -> list[str]:
    return [part.text for part in message.parts]  # type: ignore[union-attr]  # all of them are texts here


# -- when ---------------------------------------------------------------------


def test_a_strategy_is_asked_before_each_model_call() -> None:
    """Also between the calls of one turn; each view is of the request that follows."""

    @tool(effect="read")
    async def look() -> str:
        """Look at the sea."""
        return "calm"

    strategy = Newest(above=9)
    model = Model([call("look"), call("look")], call("look"), "Calm.")
    told = converse(model, strategy, times=1, tools=[look])

    assert told.result.complete
    assert [1, 3, 5] == [len(view.messages) for view in strategy.seen]
    assert [request.messages for request in model.requests] == [view.messages for view in strategy.seen]


def test_instructions_and_tool_schemas_count() -> None:
    """The estimate that a strategy sees is that of the whole request."""

    @tool(effect="read")
    async def look(at: str) -> str:
        """Look at something."""
        return "calm"

    views = []
    for options in ({}, {"instructions": "x" * 400}, {"tools": [look]}):
        strategy = Newest()
        converse(Model("Calm."), strategy, times=1, **options)
        views.append(strategy.seen[0])

    plain, instructed, equipped = views
    assert 100 <= instructed.tokens - plain.tokens <= 102
    assert equipped.tokens > plain.tokens + 20


def test_a_session_is_cut_inside_a_turn_too() -> None:
    """Old turns go between two calls of a turn whose results need the room; what belongs to the turn stays whole."""

    @tool(effect="read")
    async def look() -> str:
        """Look at the sea."""
        return "wet " * 150

    model = Model(LONG, [call("look"), call("look")], "It was wet.")
    told = converse(model, Newest(above=0.9), times=2, max_tokens=500, tools=[look])

    last = model.requests[-1].messages
    assert told.result.error is None
    assert ["user", "assistant", "tool"] == [message.role for message in last]
    assert [TASK, "It was calm.", "Go on."] == parts_of(last[0])
    assert [call.id for call in last[1].tool_calls] == [result.call_id for result in last[2].tool_results]
    told.replay()


# -- the summary --------------------------------------------------------------


def test_the_summary_is_asked_for_with_what_goes_and_before_it_goes() -> None:
    """The request carries exactly the messages that leave and the question, and allows no calls."""
    strategy = Newest()
    model = Model()
    told = converse(model, strategy)
    (asked,) = model.summaries
    view, event = next(view for view in strategy.seen if view.load > 0.8), told.events(ContextCompacted)[0]

    assert (*view.messages[: event.kept_from], Message.user(PROMPT)) == asked.messages
    assert "none" == asked.tool_choice
    assert model.requests[0].instructions == asked.instructions
    nth = model.requests.index(asked)
    assert [TASK, "It was calm.", "Go on."] == parts_of(model.requests[nth + 1].messages[0])


def test_the_summary_stands_behind_the_task_and_is_announced() -> None:
    """What goes is replaced once; the event tells both sizes; the session holds what was sent."""
    told = converse(Model(), Newest())
    (event,) = told.events(ContextCompacted)

    assert [TASK, "It was calm.", "Go on."] == parts_of(told.ada.session.messages[0])
    assert (True, None, "newest", "ada") == (event.summary, event.problem, event.strategy, event.agent)
    assert event.tokens_after < event.tokens_before
    told.replay()


def test_a_summary_of_earlier_runs_stands_before_a_new_task() -> None:
    """What happened first is told first, where the task came later."""
    ada = Agent("ada", Model(), strategy=Newest(), max_tokens=400, registry=Registry.of())
    for question in ("One?", "Two?", "Three?", "Four?"):
        asyncio.run(ada.send(question))

    assert ["It was calm.", "Four?"] == parts_of(ada.session.messages[0])


def test_a_summary_is_summed_up_in_turn() -> None:
    """Each compaction hands the one before to the model; the task stands once and first, however many there were."""
    summaries = [f"Summary {n}." for n in range(10)]
    model = Model(summaries=summaries)
    told = converse(model, Newest(), times=15)

    assert 3 < len(model.summaries)
    for nth, request in enumerate(model.summaries[1:]):
        assert [TASK, f"Summary {nth}."] == parts_of(request.messages[0])[:2]
    for request in model.turns:
        assert 1 == "\n".join(message.text for message in request.messages).count(TASK)
        assert TASK == parts_of(request.messages[0])[0]
    told.replay()


def test_a_summary_has_no_form_to_fit() -> None:
    """Where answers are of a type, a summary is still text: its request asks for no schema, the turn's all do."""
    ada = Agent(
        "ada", Model('["' + "calm " * 80 + '"]'), strategy=Newest(), max_tokens=400, output=list[str],
        registry=Registry.of(),
    )  # fmt: skip
    for _ in range(4):
        asyncio.run(ada.send("How is it?"))
    model: Any = ada.provider

    assert [None] * len(model.summaries) == [request.output for request in model.summaries]
    assert model.summaries
    assert None not in [request.output for request in model.turns]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Overloaded("busy"), "Asking the model failed: Overloaded: The provider: busy."),
        (ContextTooLong("too many"), "Asking the model failed: ContextTooLong: The provider: too many."),
        (
            Completion(Message.assistant("I must not."), "refusal"),
            "model:model: it would not answer (refusal).",
        ),
        (LONG * 4, "its 425 tokens are no fewer than the 326 it would take the place of"),
        ("", None),
        (" \n", None),
    ],
    ids=["fails", "too long", "refused", "longer", "empty", "blank"],
)
def test_without_a_summary_the_plain_cut_is_made(answer: Any, problem: str | None) -> None:
    """The session becomes shorter all the same, the model was asked once, and the event says what was wrong."""
    model = Model(summaries=[answer])
    told = converse(model, Newest())
    (event,) = told.events(ContextCompacted)

    assert (False, problem) == (event.summary, event.problem)
    assert 1 == len(model.summaries)
    assert [TASK, "Go on."] == parts_of(told.ada.session.messages[0])
    assert (True, None) == (told.result.complete, told.result.error)
    told.replay()


def test_where_there_is_no_room_to_ask_nothing_is_sent() -> None:
    """A history that fills the budget with the question cannot be asked about; the plain cut is made."""

    async def verbose(view: ContextView, cut: Cut, desk: Desk) -> str:
        return await desk.ask("Sum it up. " * 100)

    model = Model()
    told = converse(model, Newest(how=verbose))
    (event,) = told.events(ContextCompacted)

    assert [] == model.summaries
    assert event.problem.startswith("The session of 'ada' needs about ")
    assert event.problem.endswith("its budget is 400. There is no room to ask.")


def test_a_failing_desk_raises_what_the_contract_says() -> None:
    """`RunError`s, so that a strategy can have a second plan."""
    caught: list[BaseException] = []

    async def careful(view: ContextView, cut: Cut, desk: Desk) -> str:
        try:
            return await desk.ask(PROMPT)
        except RunError as problem:
            caught.append(problem)
        try:
            await desk.commit("Finding", "It is calm.")
        except RunError as problem:
            caught.append(problem)
        return "I had a second plan."

    model = Model(summaries=[Overloaded("busy")])
    told = converse(model, Newest(how=careful), thoughts=Notes(OSError("disk full")))

    assert [
        "Asking the model failed: Overloaded: The provider: busy.",
        "Committing a thought failed: OSError: disk full",
    ] == [str(problem) for problem in caught]
    assert {EffectError} == set(map(type, caught))
    assert [TASK, "I had a second plan.", "Go on."] == parts_of(told.ada.session.messages[0])


async def number(view: ContextView, cut: Cut, desk: Desk) -> int:
    return 7


async def raises(view: ContextView, cut: Cut, desk: Desk) -> str:
    raise ZeroDivisionError("no load")


async def blank_question(view: ContextView, cut: Cut, desk: Desk) -> str:
    return await desk.ask(" ")


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        (number, "AttributeError: 'int' object has no attribute 'strip'"),
        (raises, "ZeroDivisionError: no load"),
        (blank_question, "a text in it is blank"),
    ],
)
def test_a_summary_that_goes_wrong_costs_the_summary_only(how: Summarise, problem: str) -> None:
    """The cut is made, the turn goes on, and the event says what was wrong; no illegal request is sent."""
    told = converse(Model(), Newest(how=how))
    (event,) = told.events(ContextCompacted)

    assert (True, False) == (told.result.complete, event.summary)
    assert problem in event.problem


def test_a_strategy_that_awaits_something_else_breaks_the_rule_of_the_run() -> None:
    """It is told where, and the run stops: a replay could not repeat it."""

    async def waits(view: ContextView, cut: Cut, desk: Desk) -> str:
        await asyncio.sleep(0)
        return "never"

    told = converse(Model(), Newest(how=waits))

    assert "failed" == told.result.stop_reason
    assert isinstance(told.result.error, ForeignAwaitError)
    assert "test_compaction.py" in str(told.result.error)


# -- no circles ---------------------------------------------------------------


def test_a_strategy_that_always_asks_is_heard_once_per_model_call() -> None:
    """One summary for each model call at most, and none where nothing can be cut."""

    @tool(effect="read")
    async def look() -> str:
        """Look at the sea."""
        return "calm"

    model = Model(*[call("look"), call("look"), "Calm."] * 5)
    told = converse(model, Newest(above=0.0), times=5, tools=[look])

    assert told.result.complete
    assert 15 == len(model.turns)
    assert 4 == len(model.summaries), "only the first call of a turn has something before it"
    told.replay()


def test_a_summary_that_is_as_long_as_it_may_be_comes_to_an_end() -> None:
    """Summaries just short enough leave the session nearly full; each turn pays for one and goes on."""

    def nearly(request: Request) -> str:
        return "x" * (4 * 280)

    model = Model(summaries=[nearly])
    told = converse(model, Newest(), times=10)

    assert told.result.complete
    assert 10 == len(model.turns)
    assert len(model.summaries) <= 10


# -- what it costs ------------------------------------------------------------


def test_the_cost_of_a_summary_counts() -> None:
    """In the turn's usage and in the run's, also where the summary was of no use."""
    paid = Completion(Message.assistant(LONG), "end", COST)
    for summary in ("It was calm.", ""):
        saves = [Completion(Message.assistant(summary or " "), "end", COST)]
        told = converse(Model(paid, summaries=saves), Newest())

        assert 75 == told.result.usage.total
        assert [15, 15, 15, 30] == [reply.usage.total for reply in told.result.messages]


def test_a_limit_reached_inside_a_summary_stops_the_run() -> None:
    """Three turns fit into three calls; the fourth turn's summary does not, and its turn leaves no trace."""
    model = Model()
    told = converse(model, Newest(), limits=Limits(calls=3))

    assert ("limit", 3) == (told.result.stop_reason, len(told.result.messages))
    assert [] == model.summaries
    assert [] == told.events(ContextCompacted)
    assert 6 == told.ada.session_history_len
    told.replay()


def test_a_limit_reached_after_a_summary_takes_the_cut_back() -> None:
    """The summary was the last call; the turn does not happen, so the session is as it was."""
    told = converse(Model(), Newest(), limits=Limits(calls=4))

    assert ("limit", 1) == (told.result.stop_reason, len(told.events(ContextCompacted)))
    assert 6 == told.ada.session_history_len
    assert [TASK] == parts_of(told.ada.session.messages[0])


def test_a_cancellation_inside_a_summary_leaves_the_session_as_it_was() -> None:
    """Whole, with nothing cut; what was begun is over."""
    reached = asyncio.Event()

    class Hanging(Model):
        async def complete(self, request: Request) -> Completion:
            if request.tool_choice == "none":
                reached.set()
                await asyncio.Event().wait()
            return await super().complete(request)

    async def story(hub: Hub) -> None:
        for _ in range(4):
            await hub.ask("ada", TASK)

    async def main() -> tuple[Agent, Any, Any]:
        ada = Agent("ada", Hanging(), strategy=Newest(), max_tokens=400, registry=Registry.of())
        run = Orchestration([ada], Story(story), registry=Registry.of()).run(TASK)
        await reached.wait()
        run.cancel()
        return ada, await run, run.records

    ada, result, records = alone(main)

    assert ("cancelled", 3) == (result.stop_reason, len(result.messages))
    assert [TASK, LONG, "Go on.", LONG, "Go on.", LONG] == [message.text for message in ada.session.messages]
    assert ["cancelled"] == [record.event.error for record in records if isinstance(record.event, AgentFailed)]
    assert [] == [record for record in records if isinstance(record.event, ContextCompacted)]


# -- thoughts -----------------------------------------------------------------


async def commits(view: ContextView, cut: Cut, desk: Desk) -> str | None:
    """Keeps the summary as a thought, with references true and false."""
    save = await desk.ask(f"{PROMPT} There are {desk.thoughts} thoughts.")
    return await desk.commit("Compression", save, [0, 99, -1, 1])


def test_a_thought_may_take_the_place_of_what_goes() -> None:
    """It is committed with the references that lead somewhere, announced, and restored in the session."""
    notes = Notes()
    notes.append("ada", "Finding", "The moon draws the sea.")
    told = converse(Model(), Newest(how=commits), thoughts=notes)

    assert [("Finding", ()), ("Compression", (0,))] == [(thought.type, thought.refs) for thought in notes.thoughts]
    assert [ThoughtCommitted(agent="ada", thought_type="Compression", index=1)] == told.events(ThoughtCommitted)
    task, restored, prompt = parts_of(told.ada.session.messages[0])
    assert [TASK, "Go on."] == [task, prompt]
    assert notes.to_bootstrap_prompt(1) == restored


def test_a_replay_leaves_the_chain_alone() -> None:
    """The same records come of it, though the chain has grown since, also by others."""
    notes = Notes()
    model = Model(summaries=[f"Summary {n}." for n in range(10)])
    told = converse(model, Newest(how=commits), times=12, thoughts=notes)
    asked = [request.messages[-1].text for request in model.summaries]
    notes.append("bob", "Finding", "Somebody else's.")
    before = notes.thoughts

    assert [f"{PROMPT} There are {n} thoughts." for n in range(len(asked))] == asked
    assert len(asked) > 2
    assert len(model.turns) == len(told.replay().messages)
    assert before == notes.thoughts


def test_a_chain_that_cannot_be_written_is_told() -> None:
    """The plain cut is made, and the event says why there is no summary."""
    told = converse(Model(), Newest(how=commits), thoughts=Notes(OSError("disk full")))
    (event,) = told.events(ContextCompacted)

    assert (False, "Committing a thought failed: OSError: disk full") == (event.summary, event.problem)
    assert [] == told.events(ThoughtCommitted)
    told.replay()


def test_an_agent_without_a_chain_has_no_thoughts() -> None:
    """The desk says 0, and a commit gives None."""
    seen: list[Any] = []

    async def tries(view: ContextView, cut: Cut, desk: Desk) -> str | None:
        seen.extend([desk.thoughts, await desk.commit("Finding", "It is calm.")])
        return None

    told = converse(Model(), Newest(how=tries))

    assert [0, None] == seen
    assert told.result.complete


# -- the provider says so -----------------------------------------------------


def test_too_long_for_the_provider_makes_room_once_and_asks_again() -> None:
    """However low the load by our own count: one pressed compaction, one retry."""
    strategy = Newest()
    model = Model(LONG, ContextTooLong("too many tokens"), "Calm.")
    told = converse(model, strategy, times=2, max_tokens=100_000)

    assert [False, False, True] == [view.pressed for view in strategy.seen]
    assert 1 == len(model.summaries)
    assert [1, 3, 1] == [len(request.messages) for request in model.turns]
    assert 1 == len(told.events(ContextCompacted))
    assert ["Calm."] == [reply.text for reply in told.result.messages][1:]
    assert [TASK, "It was calm.", "Go on."] == parts_of(told.ada.session.messages[0])
    told.replay()


def test_too_long_a_second_time_fails_the_turn() -> None:
    """No third request; the error is the provider's, and the session is as it was."""
    model = Model(LONG, ContextTooLong("too many tokens"))
    told = converse(model, Newest(), times=2, max_tokens=100_000)
    (event,) = told.events(AgentFailed)

    assert 3 == len(model.turns)
    assert "ContextTooLong: The provider: too many tokens." == event.error
    assert [TASK, LONG] == [message.text for message in told.ada.session.messages]
    told.replay()


def test_each_model_call_may_be_too_long_once() -> None:
    """Room is made again where another call of the same run needs it."""
    model = Model(LONG, ContextTooLong("too many"), LONG, ContextTooLong("too many"), "Calm.")
    told = converse(model, Newest(), times=3, max_tokens=100_000)

    assert (3, 2) == (len(told.result.messages), len(told.events(ContextCompacted)))


@attrs.frozen
class Idle(ContextStrategy):
    """Never does anything."""

    name: ClassVar[str] = "idle"

    def choose(self, view: ContextView) -> Cut | None:
        return None


NO_HELP = "The strategy 'idle' could not make room; this turn alone may be too long."
INSTALL = "Install one with: pip install cloudllm-context-trim, and give the agent strategy='trim'."


@pytest.mark.parametrize(("strategy", "advice"), [(None, INSTALL), (Idle(), NO_HELP)])
def test_too_long_and_nobody_makes_room(strategy: ContextStrategy | None, advice: str) -> None:
    """The request is not sent again; the error says whose word it is and what to do."""
    model = Model(LONG, ContextTooLong("too many tokens"))
    told = converse(model, strategy, times=2, max_tokens=100_000)
    (event,) = told.events(AgentFailed)

    assert 2 == len(model.requests)
    assert event.error.startswith("The session of 'ada' needs about ")
    assert event.error.endswith(f"its budget is 100000. The provider finds that too long. {advice}")
    assert [TASK, LONG] == [message.text for message in told.ada.session.messages]


def test_every_cut_makes_a_request_shorter() -> None:
    """Also where the task that stays is nearly all that goes; so a pressed strategy has only to choose one."""
    strategy = Newest(above=0.5, how=nothing)
    converse(Model("Ok."), strategy, times=6, max_tokens=100)
    converse(Model("Ok.", LONG), strategy, times=6)
    cuts = [(cut, view) for view in strategy.seen for cut in view.cuts]

    assert len(cuts) > 10
    assert [] == [cut for cut, view in cuts if cut.tokens_after >= view.tokens]


# -- without help -------------------------------------------------------------


def test_a_session_that_outgrows_its_budget_names_the_package() -> None:
    """Without a strategy the turn that does not fit fails before anything is sent."""
    model = Model()
    told = converse(model, None, times=6)

    assert {"400"} == {event.error.partition("its budget is ")[2][:3] for event in told.events(AgentFailed)}
    assert all(event.error.endswith(INSTALL) for event in told.events(AgentFailed))
    assert 4 == len(model.requests)


def test_a_strategy_that_raises_in_choose_fails_the_turn() -> None:
    """Nothing is sent, nothing is lost, and the error is told."""

    class Breaks(ContextStrategy):
        name: ClassVar[str] = "breaks"

        def choose(self, view: ContextView) -> Cut | None:
            raise ZeroDivisionError("no load")

    model = Model()
    ada = Agent("ada", model, strategy=Breaks(), registry=Registry.of())

    with pytest.raises(AgentFailedError, match="ZeroDivisionError: no load"):
        asyncio.run(ada.send("x"))
    assert [] == model.requests
    assert 0 == ada.session_history_len


def test_long_letters_are_never_cut_in_two() -> None:
    """Texts go or stay whole, whatever they are written in."""
    wave = "\U0001f30a\U0001f468‍\U0001f469" * 30
    told = converse(Model(wave, summaries=["\U0001f30a."]), Newest(), times=6)

    assert estimate_tokens(wave) > 90
    texts = {text for message in told.ada.session.messages for text in parts_of(message)}
    assert {TASK, "Go on.", "\U0001f30a.", wave} == texts
