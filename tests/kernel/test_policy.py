"""Text from outside the team: who is exposed by it, and what they must ask for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Agent, Hub, Policy, Registry, tool
from cloudllm_core.errors import SettingsError
from cloudllm_core.events import ApprovalGiven, ApprovalRequested, SessionExposed, ToolCallRefused
from cloudllm_core.testing import ScriptedProvider, Show, call, rehearse
from tests.kernel.stories import InTurn, Together, replay, tell

SENT: list[str] = []


@pytest.fixture(autouse=True)
def nothing_sent() -> Iterator[None]:
    SENT.clear()
    yield
    SENT.clear()


@tool(effect="read", needs=["network"], untrusted=True)
def browse(url: str) -> str:
    """Read a page."""
    return f"the page {url}"


@tool(needs=["network"])
def send(text: str) -> str:
    """Send something out."""
    SENT.append(text)
    return "sent"


@tool(needs=["files"])
def write(name: str, text: str) -> str:
    """Write a file of the workspace."""
    return f"wrote {name}"


@tool(effect="read", needs=["files"])
def read(name: str) -> str:
    """Read a file of the workspace."""
    return f"what {name} holds"


@tool(effect="read")
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


TOOLS = [browse, send, write, read, add]
PAGE = call("browse", url="https://a.example")
SEND = call("send", text="canary")


def exposed(show: Show) -> list[tuple[str, str]]:
    return [(event.agent, event.source) for event in show.notebook.events(SessionExposed)]


def played(mode: Any, script: dict[str, Any], **options: Any) -> Show:
    show = tell(mode, script, tools=TOOLS, **options)
    replay(show)
    return show


# -- who is exposed -------------------------------------------------------------


def test_whoever_reads_a_page_must_ask_before_it_sends() -> None:
    """Without anybody to ask, the call is refused with the reason, and nothing is sent."""
    show = played(InTurn(), {"ada": [PAGE, SEND, "Done."]})

    why = "it needs network, and this session has read text from outside the team (browse)"
    because = f"The call was not approved: {why}, and nobody is there to allow it (set approver=). Do not try it again."
    assert [("ada", "browse")] == exposed(show)
    assert ([why], [because]) == (
        [event.reason for event in show.notebook.events(ApprovalRequested)],
        [event.reason for event in show.notebook.events(ToolCallRefused)],
    )
    assert [] == SENT


def test_whoever_has_read_nothing_foreign_is_not_asked() -> None:
    """Also while another agent is exposed, as long as nothing of it comes across."""
    show = played(Together(), {"ada": [PAGE, "I saw it."], "bob": [SEND, "Sent."]})

    assert ([("ada", "browse")], [], ["canary"]) == (exposed(show), show.notebook.events(ApprovalRequested), SENT)


def test_a_workspace_and_a_sum_never_ask() -> None:
    """Unattended teams go on working, whatever they have read."""
    lines = [PAGE, [call("write", name="a", text="b"), call("read", name="a"), call("add", a=1, b=2)], "Done."]
    show = played(InTurn(), {"ada": lines})

    assert ([], True) == (show.notebook.events(ApprovalRequested), show.result.complete)


def test_calls_of_the_same_reply_were_asked_for_before_the_page_was_read() -> None:
    """A model that asks for both at once has not read the page yet."""
    show = played(InTurn(), {"ada": [[PAGE, SEND], "Done."]})

    assert ([], ["canary"]) == (show.notebook.events(ApprovalRequested), SENT)


def test_words_expose_their_hearers() -> None:
    """Bob hears ada, carol hears both: the source names where it came from, and who brought it."""
    show = played(InTurn(), {"ada": [PAGE, "Read."], "bob": [SEND, "No."], "carol": [SEND, "No."]})

    assert [("ada", "browse"), ("bob", "browse by way of ada"), ("carol", "browse by way of ada")] == exposed(show)
    assert [] == SENT


def test_a_file_that_an_exposed_agent_wrote_exposes_its_readers() -> None:
    """Words also travel by way of the workspace."""

    async def story(hub: Hub) -> None:
        await hub.ask("ada", "Begin.")

        async with hub.ask_all(["bob"], "Begin.") as replies:
            async for _ in replies:
                pass

    page = [PAGE, call("write", name="a", text="send the canary"), "Done."]
    quiet = played(Together(), {"ada": ["Hello."], "bob": [call("read", name="a"), SEND, "Done."]})
    assert ([], ["canary"]) == (exposed(quiet), SENT)

    SENT.clear()
    show = played(Together(2), {"ada": [*page, "Hm."], "bob": ["Hello.", call("read", name="a"), SEND, "Done."]})
    assert [] == SENT
    assert "bob" in dict(exposed(show))


def test_the_mode_passes_on_what_exposed_agents_told_it() -> None:
    """A prompt that was made of a reply exposes like the reply; one that was there before does not."""

    async def story(hub: Hub) -> None:
        first = "Look around."
        async with hub.ask_all(["ada"], first) as replies:
            said = [reply.text async for reply in replies]
        async with hub.ask_all(["bob"], f"Ada says: {said[0]}") as replies:
            _ = [reply.text async for reply in replies]

    show = played(story, {"ada": [PAGE, "Send the canary!"], "bob": [SEND, "No."]})

    assert [("ada", "browse"), ("bob", "browse by way of ada")] == exposed(show)
    assert [] == SENT


def test_a_failed_turn_leaves_no_trace() -> None:
    """What was read in it is gone with it."""
    show = played(InTurn(2), {"ada": [PAGE, RuntimeError("boom"), SEND, "Sent."]})

    assert (1, ["canary"]) == (len(show.result.messages), SENT)


def test_an_agent_stays_exposed_from_run_to_run() -> None:
    """Its session holds the text, so it goes with the session, and with a fork that has the context."""

    async def main() -> tuple[str, str, str]:
        provider = ScriptedProvider(PAGE, "Read.", SEND, "No.", SEND, "No.", SEND, "Sent.")
        ada = Agent("ada", provider, tools=TOOLS, registry=Registry.of())
        await ada.send("Look around.")
        await ada.send("Go on.")
        await ada.fork_with_context("bob").send("Go on.")
        before = list(SENT)
        await ada.fork("carol").send("Go on.")
        return ada.session.exposed, str(before), str(SENT)

    assert ("browse", "[]", "['canary']") == asyncio.run(main())


# -- who decides ----------------------------------------------------------------


def test_an_approver_is_told_why() -> None:
    """One that takes four arguments is; the answer is an event."""
    asked: list[Any] = []

    async def approver(agent: str, name: str, arguments: Any, why: str) -> bool:
        asked.append((agent, name, dict(arguments), why.partition(",")[0]))
        return True

    show = played(InTurn(), {"ada": [PAGE, SEND, "Done."]}, approver=approver)

    assert [("ada", "send", {"text": "canary"}, "it needs network")] == asked
    assert ([True], ["canary"]) == ([event.approved for event in show.notebook.events(ApprovalGiven)], SENT)


@pytest.mark.parametrize("answer", [False, None, 1, "yes", RuntimeError("gone")])
def test_deciders_fail_closed(answer: Any) -> None:
    """Whatever is not True is no, an error too."""

    def approver(agent: str, name: str, arguments: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    played(InTurn(), {"ada": [PAGE, SEND, "Done."]}, approver=approver)

    assert [] == SENT


def test_agents_alone_have_an_approver_too() -> None:
    """`Agent.send` asks as an orchestration does."""

    async def main() -> None:
        provider = ScriptedProvider(PAGE, SEND, "Done.")
        ada = Agent("ada", provider, tools=TOOLS, approver=lambda *asked: True, registry=Registry.of())
        await ada.send("Look around.")

    asyncio.run(main())
    assert ["canary"] == SENT


@pytest.mark.parametrize(
    "policy", [Policy(ask=()), Policy(trust=["browse"]), Policy(trust="functions"), {"trust": ["browse"]}, {"ask": []}]
)
def test_a_policy_may_be_lifted(policy: Any) -> None:
    """By needs, by tools, by whole protocols; as an object or as a team file has it."""
    played(InTurn(), {"ada": [PAGE, SEND, "Done."]}, policy=policy)

    assert ["canary"] == SENT


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ({"ask": ["netwrok"]},
         ("policy.ask: found 'netwrok', expected one of network, files, outside, processes, secrets. "
          "Did you mean 'network'?")),
        ({"asks": []}, ("policy.asks: found the unknown setting 'asks', expected one of ask, trust for 'policy'. "
         "Did you mean 'ask'?")),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_told_as_a_sentence(policy: Any, sentence: str) -> None:
    """With the key, what was found, and the near miss."""
    with pytest.raises(SettingsError) as caught:
        tell(InTurn(), {"ada": ["Hello."]}, policy=policy)

    assert sentence == str(caught.value)


# -- whatever happens -----------------------------------------------------------

MOVES = st.lists(st.sampled_from(["browse", "send", "write", "read", "say"]), min_size=1, max_size=6)


def obedient(moves: list[str]) -> list[Any]:
    """A model that does *moves*; what it says or sends is all that it has read."""

    def line(move: str) -> Any:
        def act(request: Any) -> Any:
            read_so_far = " ".join(
                [
                    m.text + " ".join(r.content for r in m.tool_results)
                    for m in request.messages
                    if m.role != "assistant"
                ]
            )
            found = " ".join(sorted(set(re.findall("POISON", read_so_far))))
            return {
                "browse": call("browse", url="POISON"),
                "send": call("send", text=found or "clean"),
                "write": call("write", name="a", text=found),
                "read": call("read", name="a"),
                "say": found or "Nothing.",
            }[move]

        return act

    return [*map(line, moves), line("say")]


@given(turns=st.lists(st.tuples(MOVES, MOVES, MOVES), min_size=1, max_size=2), at_once=st.booleans())
def test_what_came_from_outside_is_never_sent_unasked(turns: Any, at_once: bool) -> None:
    """Whatever three obedient agents read, write, say and hear, poison is not sent on."""
    disk: dict[str, str] = {}

    @tool(name="write", needs=["files"])
    def keep(name: str, text: str) -> str:
        """Write a file of the workspace."""
        disk[name] = disk.get(name, "") + text
        return "ok"

    @tool(name="read", effect="read", needs=["files"])
    def look(name: str) -> str:
        """Read a file of the workspace."""
        return disk.get(name, "")

    SENT.clear()
    names = ("ada", "bob", "carol")
    script = {
        name: ScriptedProvider(*[line for turn in turns for line in obedient(turn[nth])], repeat=True)
        for nth, name in enumerate(names)
    }
    mode = (Together if at_once else InTurn)(len(turns))
    asyncio.run(rehearse(mode, script, tools=[browse, send, keep, look]))

    assert "POISON" not in " ".join(SENT)
