"""``cloudllm run --approve``: who consents to what an exposed agent wants to do."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cloudllm_cli.approving import AtTerminal, approver, question

WHY = "it needs network, and this session has read text from outside the team (http_get)"


def asked(line):
    """The answer to a question that *line* is typed at."""
    return asyncio.run(AtTerminal(read=lambda: line)("ada", "http_post", {"url": "https://a.example"}, WHY))


@pytest.mark.parametrize("line", ["y\n", "Y\n", "yes\n", "  YES \n"])
def test_yes_is_yes(line):
    """The call is made."""
    assert asked(line) is True


@pytest.mark.parametrize("line", ["\n", "n\n", "No\n"])
def test_anything_else_is_no(line):
    """Also just pressing Enter."""
    assert "the user said no" == asked(line)


def test_a_reason_is_told_to_the_model():
    """A person may say what is wrong."""
    assert "not to that address" == asked("not to that address\n")


def test_a_closed_input_is_no():
    """An error of the terminal allows nothing."""

    def closed():
        raise ValueError("I/O operation on closed file")

    assert "standard input has ended, so nobody could answer" == asyncio.run(
        AtTerminal(read=closed)("ada", "http_post", {}, WHY)
    )


def test_the_question_names_the_thing_and_the_reason(capsys):
    """Who, what, with what, and why."""
    asked("n\n")

    assert (
        f'\nada wants to use http_post: {WHY}.\n  {{"url": "https://a.example"}}\nAllow it? [y/N, or a reason] '
    ) == capsys.readouterr().err


def test_what_a_model_wrote_cannot_paint_over_the_question():
    """Control characters are written out."""
    shown = question("ada", "bash", {"command": "rm x\x1b[2K\r\n\u202eecho"}, WHY)

    assert "\\u001b[2K\\r\\n\\u202eecho" in shown
    assert "\x1b" not in shown


def test_a_long_call_is_cut_and_says_so():
    """A flood does not hide the question."""
    shown = question("ada", "bash", {"command": "x" * 10_000}, WHY)

    assert " ... and 6015 more characters" in shown


def test_questions_come_one_after_the_other():
    """Two agents who ask at once do not share a line."""
    lines, together, most, two = iter(["y\n", "n\n"]), [], [], threading.Event()

    def read():
        together.append(1)
        if len(together) == 2:
            two.set()
        two.wait(0.05)  # long enough for another question, if one were asked meanwhile
        most.append(len(together))
        line = next(lines)
        together.pop()
        return line

    async def main():
        terminal = AtTerminal(read=read)
        return await asyncio.gather(*[terminal(name, "bash", {}, WHY) for name in ("ada", "bob")])

    assert ([True, "the user said no"], [1, 1]) == (asyncio.run(main()), most)


def test_a_run_that_is_stopped_does_not_wait_for_an_answer():
    """Ctrl-C ends the run although nobody has typed anything."""
    typed = threading.Event()

    async def main():
        waiting = asyncio.ensure_future(AtTerminal(read=lambda: typed.wait() and "")("ada", "bash", {}, WHY))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    typed.set()


def test_all_and_none_need_no_terminal():
    """The one allows everything, the other says how it would be allowed."""
    nobody = f"{WHY}, and nobody is there to allow it (cloudllm run --approve ask, or all)"

    assert (True, nobody) == (
        approver("all")("ada", "bash", {}, WHY),
        approver("none")("ada", "bash", {}, WHY),
    )


def test_without_a_terminal_nobody_is_asked(monkeypatch):
    """In a pipe or a service the default is none; on a terminal it is to ask."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert "nobody is there" in approver(None)("ada", "bash", {}, WHY)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(approver(None), AtTerminal)


def test_standard_input_cannot_hold_both(cloudllm, team):
    """The prompt is read to its end, so nobody could answer: that is said before anything runs."""
    said = cloudllm("run", team(), "-", "--approve", "ask")

    assert (2, "") == (said.status, said.out)
    assert (
        "cloudllm: Standard input cannot hold the prompt (-) and answers (--approve ask). Give one of them.\n"
    ) == said.err
