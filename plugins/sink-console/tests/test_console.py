"""What a person reads on the console, and what a terminal must never be told."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Event, EventSink, Record
from cloudllm_core import events as e
from cloudllm_sink_console import Console, cloudllm_register_event_sink, lines_for
from cloudllm_sink_console.lines import shortened, visible


def placed(event: Event, run_id: str = "0123456789abcdef") -> Record:
    """*event* in a record."""
    return Record(1, 0.0, "run", 1, "note", "{}", "", "", run_id, None, event)


def lines(event: Event, *, verbose: bool = False) -> list[str]:
    return lines_for(placed(event), verbose=verbose)


def said(text: str, **fields: Any) -> e.LLMCallCompleted:
    defaults: dict[str, Any] = {
        "agent": "ada", "iteration": 1, "model": "m", "tokens_used": 5, "tool_calls": 0, "stop": "end",
    }  # fmt: skip
    return e.LLMCallCompleted(text=text, **(defaults | fields))


def called(**parameters: Any) -> e.ToolCallDetected:
    return e.ToolCallDetected(agent="ada", tool_name="write_file", parameters=parameters, iteration=1, call_id="c")


def finished(*, success: bool, result: str | None = None, error: str | None = None) -> e.ToolExecutionCompleted:
    return e.ToolExecutionCompleted(
        agent="ada",
        tool_name="write_file",
        parameters={},
        iteration=1,
        call_id="c",
        success=success,
        result=result,
        error=error,
    )


LONG = "bubblewrap is not installed, and that is a long story. " * 8 + "Install it: apt-get install bubblewrap"
"""An error whose remedy comes last."""

STORY: list[tuple[Event, list[str]]] = [
    (
        e.RunStarted(
            run_id="r", orchestration_name="demo", mode="ralph", agents=("ada", "bob"), prompt="Build\nthe game."
        ),
        ["== demo (ralph): ada, bob", "   Build the game."],
    ),
    (e.RoundStarted(round=2), ["-- round 2"]),
    (said("Hello."), ["ada: Hello."]),
    (said("First.\n\n  Second."), ["ada: First.", "", "       Second."]),
    (said("One.\r\nTwo.\n"), ["ada: One.", "     Two."]),
    (said("", tool_calls=1, stop="tool_use"), []),
    (said("I was go", stop="max_tokens"), ["ada: I was go", "ada: the model stopped early (max_tokens)"]),
    (said("", error="HTTP 500", stop="error"), ["ada: the model call failed: HTTP 500"]),
    (said("", error="cancelled", stop="error"), ["ada: the model call was cancelled"]),
    (called(path="a.txt"), ['ada -> write_file(path="a.txt")']),
    (called(path="a.txt", content="x" * 99), [f'ada -> write_file(path="a.txt", content="{"x" * 37}...")']),
    (called(lines=[1, 2], force=True), ["ada -> write_file(lines=[1, 2], force=true)"]),
    (finished(success=True, result="wrote\n120 bytes"), ["ada <- write_file ok: wrote 120 bytes"]),
    (finished(success=True, result=""), ["ada <- write_file ok"]),
    (finished(success=False, error="no such file"), ["ada <- write_file error: no such file"]),
    (finished(success=False, error=LONG), [f"ada <- write_file error: {LONG}"]),
    (
        e.ToolCallRefused(agent="ada", tool_name="pay", parameters={}, iteration=1, call_id="c", reason=LONG),
        [f"ada <- pay refused: {LONG}"],
    ),
    (e.SessionExposed(agent="ada", source="http_get"), ["ada has read text from outside the team (http_get)"]),
    (e.AgentHeldBack(agent="ada", seconds=1.25), ["ada was held back for 1.25 s: others were to go first"]),
    (
        e.ToolMaxIterationsReached(agent="ada", allowed=25),
        ["ada: no more than 25 tool calls in a turn; the rest was not run"],
    ),
    (
        e.ApprovalRequested(agent="ada", tool_name="pay", parameters={"cents": 5}, reason="it needs network"),
        ["ada asks to call pay(cents=5): it needs network"],
    ),
    (e.ApprovalGiven(agent="ada", tool_name="pay", approved=True), ["ada may call pay"]),
    (
        e.ApprovalGiven(agent="ada", tool_name="pay", approved=False, reason="too dear"),
        ["ada may not call pay: too dear"],
    ),
    (e.AgentFailed(agent="ada", error="overloaded", tokens_used=0), ["ada failed: overloaded"]),
    (
        e.AgentRetried(agent="ada", attempt=1, wait=1.25, error="Overloaded: too busy"),
        ["ada tries again in 1.25 s (attempt 2)"],
    ),
    (
        e.ContextCompacted(agent="ada", strategy="trim", kept_from=4, tokens_before=900, tokens_after=300),
        ["ada: the session was cut, from 900 to 300 tokens"],
    ),
    (
        e.ContextCompacted(
            agent="ada", strategy="self-compression", kept_from=4, tokens_before=900, tokens_after=300, summary=True
        ),
        ["ada: the session was summed up, from 900 to 300 tokens"],
    ),
    (e.Progress(done=3, total=10), ["[3/10]"]),
    (e.LimitReached(limit="calls", allowed=50.0), ["-- limit reached: 50 calls"]),
    (
        e.RunCompleted(
            orchestration_name="demo", rounds=3, total_tokens=1234, is_complete=True, stop_reason="completed"
        ),
        ["== complete (completed) after 3 rounds, 1234 tokens"],
    ),
    (
        e.RunCompleted(
            orchestration_name="demo", rounds=1, total_tokens=9, is_complete=False, stop_reason="max_rounds"
        ),
        ["== not complete (max_rounds) after 1 round, 9 tokens"],
    ),
    (
        e.RunFailed(error="The mode broke.", rounds=0, total_tokens=0),
        ["== failed after 0 rounds, 0 tokens: The mode broke."],
    ),
    (e.RunCancelled(rounds=2, total_tokens=7), ["== cancelled after 2 rounds, 7 tokens"]),
]


@pytest.mark.parametrize(("event", "expected"), STORY, ids=[type(event).__name__ for event, _ in STORY])
def test_what_happens_is_told_in_plain_lines(event: Event, expected: list[str]) -> None:
    """Each event a person cares about has its lines, word for word."""
    assert expected == lines(event)


def test_the_rest_is_told_only_when_asked() -> None:
    """Other kernel events, a plugin's own and unknown ones: nothing, or with `verbose` one line each."""

    class Ticked(Event):
        def to_json(self) -> dict[str, Any]:
            return {"event": "Ticked", "task": "html"}

    rest = [
        e.AgentSelected(agent="ada", reason="next in line"),
        Ticked(),
        e.UnknownEvent(name="Sang", fields={"song": "Daisy"}),
        e.SystemPromptSet(agent="ada"),
    ]

    assert [[], [], [], []] == [lines(event) for event in rest]
    assert [
        ['AgentSelected(agent="ada", reason="next in line")'],
        ['Ticked(task="html")'],
        ['Sang(song="Daisy")'],
        ['SystemPromptSet(agent="ada")'],
    ] == [lines(event, verbose=True) for event in rest]


# -- safety of the terminal ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Grüße 漢字 🎉", "plain Grüße 漢字 🎉"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rb\x08c\x7f\x9b", r"a\rb\x08c\x7f\x9b"),
        ("evil\u202etxt.exe\u2066", r"evil\u202etxt.exe\u2066"),
        ("tab\there", "tab    here"),
        ("half \ud800", r"half \ud800"),
        ("one\u2028line", r"one\u2028line"),
        ("👩\u200d🚀 no\u00a0break \u3000", "👩\u200d🚀 no\u00a0break \u3000"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str) -> None:
    """Escapes, control characters and changes of direction become readable; ordinary text stays as it is."""
    assert shown == visible(text)


@given(st.text())
def test_no_text_of_a_model_or_tool_reaches_the_terminal_as_a_command(text: str) -> None:
    """Whoever wrote it, wherever it appears: no line holds a control character or a line break."""
    told = [
        *lines(said(text, error=text)),
        *lines(said(text, agent=text or "x", stop=text)),
        *lines(called(**{"a": text, "b": [text], text or "x": {text: 1}})),
        *lines(finished(success=True, result=text)),
        *lines(finished(success=False, error=text)),
        *lines(e.RunStarted(run_id="r", orchestration_name=text, mode=text, agents=(text,), prompt=text)),
        *lines(e.AgentFailed(agent=text, error=text, tokens_used=0)),
        *lines(e.ApprovalGiven(agent=text, tool_name=text, approved=False, reason=text)),
        *lines(e.LimitReached(limit=text, allowed=1)),
        *lines(e.UnknownEvent(name=text, fields={text: text}), verbose=True),
    ]

    assert set() == {c for line in told for c in line if ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u202e"}


@given(st.text(), st.integers(4, 200))
def test_a_preview_is_as_long_as_it_may_be(text: str, length: int) -> None:
    """A shortened text fits, and short plain text is not cut."""
    assert len(shortened(text, length)) <= length
    assert "a b" == shortened("a\n b", 4)
    assert "abc..." == shortened("abcdefghi", 6)
    assert "a..." == shortened("a" + " " * 99 + "b", 4)


# -- the sink -----------------------------------------------------------------


class Closed(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError("nobody reads")


def test_each_record_is_written_and_flushed_at_once() -> None:
    """Lines are complete and in order, whatever the buffering of the stream."""

    class Counting(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    stream = Counting()
    console = Console(stream)
    console.receive(placed(e.RoundStarted(round=1)))
    console.receive(placed(e.AgentSelected(agent="ada", reason="next")))
    console.receive(placed(said("One.\nTwo.")))

    assert "-- round 1\nada: One.\n     Two.\n" == stream.getvalue()
    assert 2 == stream.flushes


def test_standard_output_is_looked_up_when_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever redirects standard output later gets the lines."""
    console = Console()
    later = io.StringIO()
    console.receive(placed(e.RoundStarted(round=1)))
    before, sys.stdout = sys.stdout, later
    try:
        console.receive(placed(e.RoundStarted(round=2)))
    finally:
        sys.stdout = before

    assert "-- round 1\n" == capsys.readouterr().out
    assert "-- round 2\n" == later.getvalue()


def test_a_program_without_standard_output_is_not_harmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no console, nothing is written and nothing raised."""
    monkeypatch.setattr(sys, "stdout", None)

    Console().receive(placed(e.RoundStarted(round=1)))


def test_runs_are_told_apart_once_there_are_two() -> None:
    """A single run has no prefix; interleaved ones carry a short id on every line, until the sink is closed."""
    stream = io.StringIO()
    console = Console(stream)
    console.receive(placed(said("Alone."), "run-one-aaaaaa"))
    console.receive(placed(said("Two\nlines."), "run-two-bbbbbb"))
    console.receive(placed(said("Together."), "run-one-aaaaaa"))
    console.close()
    console.receive(placed(said("Alone again."), "run-three-cccccc"))

    assert [
        "ada: Alone.",
        "[bbbbbb] ada: Two",
        "[bbbbbb]      lines.",
        "[aaaaaa] ada: Together.",
        "ada: Alone again.",
    ] == stream.getvalue().splitlines()


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "Gr??e ?"), ("latin-1", "Grüße ?"), ("utf-8", "Grüße 漢")])
def test_what_a_stream_cannot_encode_is_replaced(encoding: str, shown: str) -> None:
    """A console that does not speak UTF-8 shows question marks and goes on."""
    raw = io.BytesIO()
    console = Console(io.TextIOWrapper(raw, encoding=encoding, newline="\n"))

    console.receive(placed(said("Grüße 漢")))
    console.receive(placed(said("On.")))

    assert f"ada: {shown}\nada: On.\n" == raw.getvalue().decode(encoding)


def test_a_closed_pipe_is_raised() -> None:
    """The kernel learns that nobody reads any more, so that it can give the sink up."""
    with pytest.raises(BrokenPipeError):
        Console(Closed()).receive(placed(e.RoundStarted(round=1)))


def test_the_sink_is_built_from_a_table_and_wants_no_signals() -> None:
    """`{ name = "console", verbose = true }` works, and plain lines do not make agents stream."""
    assert Console.from_settings({"verbose": True}).verbose
    assert cloudllm_register_event_sink() is Console
    assert "console" == Console.name
    assert Console.signal is EventSink.signal
