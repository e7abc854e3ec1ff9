"""Every call a model makes gets exactly one result, on every way a call can go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from cloudllm_core import (
    Agent,
    Completion,
    Message,
    Registry,
    ToolCall,
    ToolContext,
    ToolDefinition,
    ToolProtocol,
    tool,
    validate_history,
)
from cloudllm_core.events import (
    ApprovalGiven,
    ApprovalRequested,
    ToolCallDetected,
    ToolCallRefused,
    ToolExecutionCompleted,
    ToolMaxIterationsReached,
)
from cloudllm_core.testing import Notebook, ScriptedProvider, Show, call, stage
from tests.kernel.stories import Story, alone, ask_ada, replay, requests, results_of, session_of, tell, tell_virtually


@tool(effect="read")
async def echo(text: str) -> str:
    """Say it again."""
    return text


@tool(effect="read")
def shout(text: str) -> str:
    """Say it loudly, from a thread."""
    return text.upper()


@tool(effect="read")
async def explode() -> str:
    """Raise."""
    raise OSError("the disk is full")


@tool(effect="read")
async def leave() -> str:
    """End the program."""
    raise SystemExit(3)


@tool(effect="read")
def leave_thread() -> str:
    """End the program from a thread."""
    raise SystemExit(3)


@tool(effect="read")
async def tick() -> Any:
    """Give what JSON cannot say."""
    return {"at": float("nan")}


@tool(effect="read", timeout=2)
async def dawdle() -> str:
    """Take an hour."""
    await asyncio.sleep(3600)
    return "never"


@tool(effect="read", approve=True)
async def risky(what: str) -> str:
    """Do something risky."""
    return f"did {what}"


def turn(calls: Sequence[Any] | Any, tools: Sequence[Any], **options: Any) -> Show:
    """One turn of ada's in which she makes *calls* and then says so."""
    show = tell(ask_ada, [calls, "Done."], tools=tools, **options)
    for request in requests(show):
        validate_history(request.messages)
    replay(show)
    return show


# -- one result, whatever happens -----------------------------------------------


def test_a_call_that_goes_well_has_its_result() -> None:
    """The plain case: the model reads what the tool gave."""
    show = turn(call("echo", text="hi"), [echo])

    assert [("hi", False)] == results_of(show)
    assert "Done." == show.result.answer
    assert 1 == show.result.messages[0].tool_calls


def test_a_plain_function_is_called_in_a_thread_and_has_its_result() -> None:
    """A tool that is not async answers like any other."""
    assert [("HI", False)] == results_of(turn(call("shout", text="hi"), [shout]))


def test_a_tool_that_raises_is_answered_with_its_error() -> None:
    """An exception becomes an error result with the exception's name and words."""
    show = turn(call("explode"), [explode])

    assert [("OSError: the disk is full", True)] == results_of(show)
    assert show.result.complete


def test_a_tool_cannot_end_the_program() -> None:
    """SystemExit in a tool is one more error result."""
    assert [("The tool tried to end the program (SystemExit).", True)] == results_of(turn(call("leave"), [leave]))


def test_a_tool_in_a_thread_cannot_end_the_program() -> None:
    """SystemExit in a tool's thread is one more error result."""
    ((text, is_error),) = results_of(turn(call("leave_thread"), [leave_thread]))

    assert "RuntimeError: it raised SystemExit(3), which ends a thread and not a call" == text
    assert is_error


def test_a_tool_that_takes_too_long_is_given_up() -> None:
    """At its timeout a call is cancelled, and the model reads that."""
    show = tell_virtually(ask_ada, [call("dawdle"), "Done."], tools=[dawdle])

    assert [("No result within 2 s; the call was given up, and what it did so far stands.", True)] == results_of(show)
    replay(show)


def test_a_tool_that_raises_a_timeout_of_its_own_says_so_itself() -> None:
    """Not every TimeoutError is the kernel's."""

    @tool(effect="read")
    async def slow_server() -> str:
        """Fail."""
        raise TimeoutError("the server took 5 s")

    assert [("TimeoutError: the server took 5 s", True)] == results_of(turn(call("slow_server"), [slow_server]))


def test_a_result_that_is_not_json_becomes_text() -> None:
    """NaN and objects do not reach a provider, and do not fail a turn."""
    assert [("{'at': nan}", False)] == results_of(turn(call("tick"), [tick]))


def test_a_result_of_lone_surrogates_can_be_sent() -> None:
    """Halves of characters, which no encoding takes, are replaced."""
    show = turn(call("echo", text="a\ud800b"), [echo])

    assert [("a\ufffdb", False)] == results_of(show)


def test_a_long_result_is_cut_and_says_how_much() -> None:
    """A result has a cap, with a notice of how much was cut."""

    @tool(effect="read")
    async def novel() -> str:
        """Give too much."""
        return "x" * 100_007

    ((text, _),) = results_of(turn(call("novel"), [novel]))

    assert "x" * 100_000 + "\n[7 more characters were cut]" == text


def test_an_unknown_tool_is_answered_with_those_there_are() -> None:
    """The result lists the tools, and offers the near miss."""
    show = turn(call("ecko", text="hi"), [echo, explode])

    expected = "There is no tool called 'ecko'. Your tools: echo, explode. Did you mean 'echo'?"
    assert [(expected, True)] == results_of(show)
    assert [expected] == [event.reason for event in show.notebook.events(ToolCallRefused)]
    assert [] == show.notebook.events(ToolCallDetected)


def test_wrong_arguments_are_answered_and_the_tool_not_called() -> None:
    """Arguments are validated before a call; the mistake goes back to the model as a readable result."""
    called: list[Any] = []

    @tool(effect="read")
    async def strict(count: int) -> str:
        """Count."""
        called.append(count)
        return "ok"

    show = turn([call("strict", count="many"), call("strict"), call("strict", count=1, more=2)], [strict])

    assert [] == called
    for text, is_error in results_of(show):
        assert is_error
        assert text.startswith("The call was not made: ")
    assert "count" in results_of(show)[0][0]


def test_a_call_that_cannot_be_read_is_answered_and_never_run() -> None:
    """A call whose arguments were cut is not run with what is left of them."""
    broken = ToolCall("c1", "echo", {}, problem="it is cut at 'te'", raw='{"te')
    show = turn(broken, [echo])

    expected = "The call was not made: its arguments cannot be read (it is cut at 'te'). Send them again, whole."
    assert [(expected, True)] == results_of(show)


def test_every_result_is_told_once() -> None:
    """Each call that is made has one start and one end among the events; a refused one has its refusal."""
    show = turn([call("echo", text="a"), call("explode"), call("nothing")], [echo, explode])

    assert ["call_1", "call_2"] == [event.call_id for event in show.notebook.events(ToolCallDetected)]
    done = show.notebook.events(ToolExecutionCompleted)
    assert [("call_1", True, "a", None), ("call_2", False, None, "OSError: the disk is full")] == sorted(
        (event.call_id, event.success, event.result, event.error) for event in done
    )
    assert ["call_3"] == [event.call_id for event in show.notebook.events(ToolCallRefused)]


def test_a_protocol_that_gives_garbage_instead_of_a_coroutine_is_answered() -> None:
    """A source of tools that breaks its contract fails its call, not the turn."""

    class Garbage(ToolProtocol):
        name: ClassVar[str] = "garbage"

        def tools(self) -> Sequence[ToolDefinition]:
            return [ToolDefinition(name="junk", description="", parameters={"type": "object"}, effect="read")]

        def call(self, tool: str, arguments: Any, context: ToolContext) -> Any:
            return "not awaitable"

    ((text, is_error),) = results_of(turn(call("junk"), [Garbage()]))

    assert is_error
    assert text.startswith("TypeError: ")


def test_a_tool_that_cancels_itself_is_an_error_result() -> None:
    """A CancelledError that nobody asked for does not cancel the turn."""

    @tool(effect="read")
    async def confused() -> str:
        """Cancel itself."""
        raise asyncio.CancelledError

    show = turn(call("confused"), [confused])

    assert [("it cancelled itself", True)] == results_of(show)
    assert show.result.complete


# -- several calls ------------------------------------------------------------


def test_calls_of_one_reply_run_at_once_and_are_answered_in_call_order() -> None:
    """Two tools that wait for each other both complete; the results stand as they were asked."""
    first, second = asyncio.Event(), asyncio.Event()

    @tool(effect="read")
    async def ping() -> str:
        """Wait for pong."""
        first.set()
        await second.wait()
        return "ping"

    @tool(effect="read")
    async def pong() -> str:
        """Wait for ping."""
        await first.wait()
        second.set()
        return "pong"

    show = turn([call("ping"), call("pong")], [ping, pong])

    assert [("ping", False), ("pong", False)] == results_of(show)


def test_concurrency_one_serialises_the_calls_of_a_tool() -> None:
    """A tool may say how many of its calls run at once."""
    inside: list[int] = []
    most: list[int] = []

    @tool(effect="read", concurrency=1)
    async def narrow(number: int) -> int:
        """Only one at a time."""
        inside.append(number)
        most.append(len(inside))
        await asyncio.sleep(0.001)
        inside.remove(number)
        return number

    show = turn([call("narrow", number=n) for n in range(5)], [narrow])

    assert [1] * 5 == most
    assert [(str(n), False) for n in range(5)] == results_of(show)


def test_concurrency_holds_across_the_calls_of_a_turn_with_tools_of_its_own() -> None:
    """The gate of a tool stays the same when a turn brings further tools."""
    inside, most = [0], [0]

    @tool(effect="read", concurrency=2)
    async def narrow(number: int) -> int:
        """Only two at a time."""
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0.001)
        inside[0] -= 1
        return number

    async def story(hub: Any) -> None:
        await hub.ask("ada", "Begin.", tools=[echo])

    tell(story, [[call("narrow", number=n) for n in range(6)], "Done."], tools=[narrow])

    assert 2 == most[0]


@pytest.mark.parametrize("with_more", [False, True])
def test_concurrency_holds_for_all_agents_of_a_run_together(with_more: bool) -> None:
    """Two agents with one tool share its gate, also in turns with tools of their own."""
    inside, most = [0], [0]

    @tool(effect="read", concurrency=1)
    async def narrow() -> str:
        """Only one at a time."""
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(1)
        inside[0] -= 1
        return "ok"

    async def story(hub: Any) -> None:
        async with hub.ask_all(hub.agents, "Go.", tools=[echo] if with_more else []) as replies:
            async for _ in replies:
                pass

    script = {name: [[call("narrow"), call("narrow")], "Done."] for name in ("ada", "bob", "cyn")}
    show = tell_virtually(story, script, tools=[narrow])

    assert 1 == most[0]
    assert [[("ok", False)] * 2] * 3 == [results_of(show, name) for name in script]


def test_the_time_of_a_call_begins_when_it_is_let_in() -> None:
    """A call that waits for its turn is not given up meanwhile, and its deadline is a true one."""
    left: list[float] = []

    @tool(effect="read", concurrency=1, timeout=3)
    async def narrow(context: ToolContext) -> str:
        """Take two seconds."""
        left.append(context.deadline - asyncio.get_running_loop().time())
        await asyncio.sleep(2)
        return "ok"

    show = tell_virtually(ask_ada, [[call("narrow")] * 4, "Done."], tools=[narrow])

    assert [("ok", False)] * 4 == results_of(show)
    assert [3.0] * 4 == left


def test_a_batch_over_the_limit_is_answered_whole_and_run_in_part() -> None:
    """Of 20 calls with a limit of 5, five run; all 20 have a result; the model is asked once more, without choice."""
    ran: list[int] = []

    @tool(effect="read")
    async def count(number: int) -> int:
        """Count."""
        ran.append(number)
        return number

    provider = ScriptedProvider([call("count", number=n) for n in range(20)], "Enough.")
    registry = Registry.of()
    ada = Agent("ada", provider, tools=[count], max_tool_calls=5, registry=registry)

    reply = asyncio.run(ada.send("Count."))

    assert list(range(5)) == sorted(ran)
    assert 5 == reply.tool_calls
    first, second = provider.requests
    assert ("auto", "none") == (first.tool_choice, second.tool_choice)
    assert first.tools == second.tools
    results = second.messages[-1].tool_results
    assert [f"call_{n}" for n in range(1, 21)] == [result.call_id for result in results]
    over = "Not run: this turn may make 5 tool calls, and they are used up. Answer with what you have."
    assert [str(n) for n in range(5)] + [over] * 15 == [result.content for result in results]
    assert [False] * 5 + [True] * 15 == [result.is_error for result in results]
    assert "Enough." == reply.text
    validate_history(ada.session.messages)


def test_the_limit_counts_over_the_whole_turn_and_is_announced() -> None:
    """Calls of several replies add up; the event says what was allowed."""
    script = [[call("echo", text="1"), call("echo", text="2")], [call("echo", text="3"), call("echo", text="4")], "Ok."]
    provider, notebook = ScriptedProvider(*script), Notebook()
    registry = Registry.of()
    ada = Agent("ada", provider, tools=[echo], max_tool_calls=3, registry=registry)

    async def main() -> None:
        from cloudllm_core import Orchestration

        await Orchestration([ada], Story(ask_ada), sinks=[notebook], registry=registry).run("Go")

    asyncio.run(main())

    assert [ToolMaxIterationsReached(agent="ada", allowed=3)] == notebook.events(ToolMaxIterationsReached)
    assert ["auto", "auto", "none"] == [request.tool_choice for request in provider.requests]


def test_a_model_that_calls_again_when_it_may_not_leaves_no_call_open() -> None:
    """After its limit a model that ignores tool choice `none` has its calls dropped, not left unanswered."""
    provider = ScriptedProvider(
        [call("echo", text="1")], ["I insist.", call("echo", text="2")], ["Still.", call("echo", text="3")]
    )
    ada = Agent("ada", provider, tools=[echo], max_tool_calls=1, registry=Registry.of())

    reply = asyncio.run(ada.send("Go."))

    assert "I insist." == reply.text
    assert 2 == len(provider.requests)
    validate_history(ada.session.messages)


def test_a_model_that_only_calls_when_it_may_not_ends_all_the_same() -> None:
    """A last reply of nothing but calls is an answer without words; the session says so to the model."""
    provider = ScriptedProvider(call("echo", text="1"), repeat=True)
    ada = Agent("ada", provider, tools=[echo], max_tool_calls=1, registry=Registry.of())

    reply = asyncio.run(ada.send("Go."))

    assert "" == reply.text
    assert "(no answer)" == ada.session.messages[-1].text
    validate_history(ada.session.messages)


def test_a_limit_of_no_calls_runs_none() -> None:
    """With max_tool_calls=0 every call is answered, not run."""
    ada = Agent(
        "ada", ScriptedProvider(call("explode"), "Fine."), tools=[explode], max_tool_calls=0, registry=Registry.of()
    )

    assert "Fine." == asyncio.run(ada.send("Go.")).text
    assert "Not run: this turn may make 0 tool calls" in ada.session.messages[2].tool_results[0].content


def test_call_ids_that_repeat_within_a_reply_fail_the_turn_and_no_session() -> None:
    """A provider whose calls cannot be told apart is refused before anything is run."""
    ran: list[str] = []

    @tool(effect="write")
    async def note(text: str) -> str:
        """Note."""
        ran.append(text)
        return text

    twins = [ToolCall("same", "note", {"text": "a"}), ToolCall("same", "note", {"text": "b"})]
    show = tell(lambda hub: hub.try_ask("ada", "Begin."), [twins, "Done."], tools=[note])

    assert [] == ran
    assert [] == session_of(show)
    assert "Message 1 breaks the history: call ids repeat: ['same', 'same']." in str(show.result.error)


# -- approval -----------------------------------------------------------------


def test_an_approved_call_is_made() -> None:
    """With an approver that says True the tool runs, and both events say so."""
    asked: list[Any] = []

    def approver(agent: str, name: str, arguments: Any) -> bool:
        asked.append((agent, name, dict(arguments)))
        return True

    show = turn(call("risky", what="it"), [risky], approver=approver)

    assert [("did it", False)] == results_of(show)
    assert [("ada", "risky", {"what": "it"})] == asked
    requested = ApprovalRequested(
        agent="ada", tool_name="risky", parameters={"what": "it"}, reason="a person must allow each call"
    )
    assert [requested] == show.notebook.events(ApprovalRequested)
    assert [ApprovalGiven(agent="ada", tool_name="risky", approved=True)] == show.notebook.events(ApprovalGiven)


@pytest.mark.parametrize(
    ("answer", "because"),
    [(False, ""), ("not on a Sunday", ": not on a Sunday"), (None, ""), (1, "")],
)
def test_a_denied_call_is_answered_with_the_reason(answer: Any, because: str) -> None:
    """Only True approves; a text is the reason of a refusal."""
    show = turn(call("risky", what="it"), [risky], approver=lambda *_: answer)

    assert [(f"The call was not approved{because}. Do not try it again.", True)] == results_of(show)
    assert [False] == [event.approved for event in show.notebook.events(ApprovalGiven)]


def test_a_person_may_take_time_to_approve() -> None:
    """An approver may be async; the other calls of the reply run meanwhile."""
    others_ran = asyncio.Event()

    @tool(effect="read")
    async def other() -> str:
        """Run meanwhile."""
        others_ran.set()
        return "meanwhile"

    async def approver(*_: Any) -> bool:
        await others_ran.wait()
        return True

    show = turn([call("risky", what="it"), call("other")], [risky, other], approver=approver)

    assert [("did it", False), ("meanwhile", False)] == results_of(show)


def test_without_an_approver_nothing_risky_is_done() -> None:
    """A tool that needs approval is refused when nobody can give it, with the remedy."""
    expected = (
        "The call was not approved: a person must allow each call, and nobody is there to allow it (set approver=). "
        "Do not try it again."
    )
    assert [(expected, True)] == results_of(turn(call("risky", what="it"), [risky]))


def test_an_approver_that_raises_approves_nothing() -> None:
    """A failing approver is a refusal, not a failed turn."""

    def approver(*_: Any) -> bool:
        raise ConnectionError("nobody at home")

    show = turn(call("risky", what="it"), [risky], approver=approver)

    expected = "The call was not approved: asking for approval failed: nobody at home. Do not try it again."
    assert [(expected, True)] == results_of(show)


# -- cancelling and giving up -------------------------------------------------


def test_a_call_that_is_cancelled_ends_with_the_run() -> None:
    """Cancelling a run cancels the read calls in flight; each has its end in the journal."""
    begun = asyncio.Event()

    @tool(effect="read")
    async def hang() -> str:
        """Hang."""
        begun.set()
        await asyncio.Event().wait()
        return "never"

    async def main() -> Any:
        orchestration = stage(Story(ask_ada), {"ada": [[call("hang"), call("hang")], "Done."]}, tools=[hang])
        run = orchestration.run("Go")
        await begun.wait()
        run.cancel()
        return await run, run.records, orchestration

    result, records, orchestration = alone(main)

    assert "cancelled" == result.stop_reason
    ends = [r.body["outcome"] for r in records if r.kind == "finished"]
    assert ["ok", "cancelled", "cancelled"] == ends
    assert 0 == orchestration.agents[0].session_history_len


def test_a_tool_that_ignores_its_cancellation_is_left_behind() -> None:
    """After the grace the run ends without waiting for it, and the call has its end."""
    stubborn_ended: list[str] = []

    @tool(effect="read", timeout=600)
    async def stubborn() -> str:
        """Ignore being told to stop."""
        for _ in range(100):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                stubborn_ended.append("no")
        return "at last"

    async def story(hub: Any) -> None:
        async with hub.timeout(5):
            await hub.ask("ada", "Begin.")

    seen: list[float] = []

    async def timed(hub: Any) -> Any:
        start = asyncio.get_running_loop().time()
        try:
            await story(hub)
        except TimeoutError:
            seen.append(asyncio.get_running_loop().time() - start)

    show = tell_virtually(timed, [call("stubborn"), "Done."], tools=[stubborn])

    assert [6.0] == seen
    assert ["no"] == stubborn_ended[:1]
    outcomes = [r.body["outcome"] for r in show.records if r.kind == "finished"]
    assert ["ok", "cancelled"] == outcomes
    assert "completed" == show.result.stop_reason


def test_a_call_knows_who_and_where_it_is() -> None:
    """The context of a call names agent, run and call; its key is the place of the effect."""
    contexts: list[ToolContext] = []

    @tool(effect="read", timeout=7)
    async def who(context: ToolContext) -> str:
        """Look at the context."""
        contexts.append(context)
        left.append(context.deadline - asyncio.get_running_loop().time())
        return "seen"

    left: list[float] = []
    show = turn([call("who"), call("who")], [who])

    run_id = show.result.run_id
    assert [f"{run_id}/ada/2", f"{run_id}/ada/3"] == [context.key for context in contexts]
    assert {("ada", run_id, None)} == {(c.agent, c.run_id, c.hub) for c in contexts}
    assert ["call_1", "call_2"] == [context.call_id for context in contexts]
    assert all(6 < seconds <= 7 for seconds in left)


def test_a_completion_that_is_none_fails_the_turn_with_a_sentence() -> None:
    """A provider that breaks its contract is named."""

    class Broken(ScriptedProvider):
        name: ClassVar[str] = "broken"

        async def complete(self, request: Any) -> Any:
            return None

    show = tell(lambda hub: hub.try_ask("ada", "x"), Broken())

    assert "BadResponse: broken: the provider gave NoneType, not a Completion." in str(show.result.error)


def test_a_completion_in_the_users_name_fails_the_turn() -> None:
    """A model's answer is an assistant's."""
    show = tell(lambda hub: hub.try_ask("ada", "x"), Completion(Message.user("hm")))

    assert "BadResponse" in str(show.result.error)


def test_an_answer_without_parts_is_an_empty_answer() -> None:
    """A model that says nothing at all has said nothing, and the session stays legal: providers refuse blank text."""
    show = tell(ask_ada, Completion(Message("assistant", ())))

    assert "" == show.result.answer
    assert [("user", "Begin."), ("assistant", "(no answer)")] == session_of(show)
