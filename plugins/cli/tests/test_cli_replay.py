"""`cloudllm replay`: a journal and a team file, compared record by record."""

from __future__ import annotations

from pathlib import Path

import pytest

JOURNAL = Path("run.jsonl")


@pytest.fixture
def file(cloudllm, team):
    """A team file that was run once, prompt and journal included."""
    name = team('prompt = "Begin."')
    assert 0 == cloudllm("run", name, "--journal", JOURNAL).status
    return name


def count():
    return JOURNAL.read_bytes().count(b"\n")


def change(file, old, new):
    text = Path(file).read_text("utf-8")
    assert old in text
    Path(file).write_text(text.replace(old, new), "utf-8")


def test_the_same_team_does_the_same(cloudllm, file):
    """An unchanged team re-enacts every record."""
    said = cloudllm("replay", JOURNAL, file)

    assert (0, f"{count()} records re-enacted, identical.\n", "") == (said.status, said.out, said.err)


def test_no_provider_is_asked(cloudllm, file):
    """What the model said is in the journal: a provider with other options, or another voice, is not heard."""
    change(file, 'model = "parrot:ada"', 'model = { name = "parrot:ada", voice = "Never" }')

    assert 0 == cloudllm("replay", JOURNAL, file).status


def test_no_sink_is_opened(cloudllm, file):
    """Nobody watches a replay: the file's sinks are not even made, so one that is not installed does not matter."""
    change(file, "prompt", 'sinks = ["somewhere-else"]\nprompt')

    said = cloudllm("replay", JOURNAL, file)

    assert (0, "") == (said.status, said.err)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'prompt = "Begin."',
            'prompt = "Stop."',
            ("The replay diverges at record 1 (lane 'run', position 0) in prompt: recorded 'Begin.'; now 'Stop.'."),
        ),
        (
            'mode = "once"',
            'mode = { name = "once", loudly = true }',
            ("The replay diverges at record 1 (lane 'run', position 0) in settings.loudly: recorded False; now True."),
        ),
        (
            'name = "ada"',
            'name = "ada"\ninstructions = "Whisper."',
            (
                "The replay diverges at record 1 (lane 'run', position 0) in agents[0].instructions: "
                "recorded 'You are ada.'; now 'You are ada.\\n\\nWhisper.'."
            ),
        ),
    ],
)
def test_a_change_is_the_first_divergence(cloudllm, file, old, new, sentence):
    """A changed team is told where it first does something else: status 1."""
    change(file, old, new)

    said = cloudllm("replay", JOURNAL, file)

    assert (1, "", f"cloudllm: {sentence}\n") == (said.status, said.out, said.err)


def test_the_prompt_of_the_run_can_be_given(cloudllm, team):
    """A run whose prompt was given is replayed with that prompt, whatever the file's is."""
    name = team('prompt = "From the file."')
    cloudllm("run", name, "From me.", "--journal", JOURNAL)

    assert 0 == cloudllm("replay", JOURNAL, name, "From me.").status
    assert 1 == cloudllm("replay", JOURNAL, name).status


def test_without_a_prompt_the_journals_counts(cloudllm, team):
    """Where neither file nor command line has a prompt, the recorded one is used."""
    name = team()
    cloudllm("run", name, "From me.", "--journal", JOURNAL)

    assert 0 == cloudllm("replay", JOURNAL, name).status


def test_a_long_divergence_is_shown_where_it_is(cloudllm, file):
    """Of long records only the part is shown at which they part."""
    from cloudllm_cli.replay import told
    from cloudllm_core.errors import DivergenceError

    same = "x" * 500

    sentence = told(DivergenceError(7, "ada", 2, f"{same}was{same}", f"{same}now{same}"))

    assert len(sentence) < 500
    assert "xwasx" in sentence
    assert "xnowx" in sentence


def test_a_torn_tail_is_said(cloudllm, file):
    """A last line that was never finished is set aside, and that is said; the rest is re-enacted."""
    JOURNAL.write_bytes(JOURNAL.read_bytes() + b'[99,"half')

    said = cloudllm("replay", JOURNAL, file)

    assert (0, f"run.jsonl: 9 bytes set aside.\n{count()} records re-enacted, identical.\n") == (said.status, said.out)


def test_a_run_that_never_ended(cloudllm, file):
    """A journal whose run broke off is re-enacted as far as it goes, and that is said: status 0."""
    lines = JOURNAL.read_bytes().splitlines(keepends=True)
    JOURNAL.write_bytes(b"".join(lines[:4]))

    said = cloudllm("replay", JOURNAL, file)

    assert (0, "") == (said.status, said.err)
    assert "4 records re-enacted, identical. The journal ends there, before its run did.\n" == said.out


def test_a_changed_journal_is_not_believed(cloudllm, file):
    """A journal that was changed after it was written is refused, with the record's number: status 2."""
    JOURNAL.write_bytes(JOURNAL.read_bytes().replace(b"I am ada.", b"I am bob."))

    said = cloudllm("replay", JOURNAL, file)

    assert (2, "") == (said.status, said.out)
    assert said.err.startswith("cloudllm: run.jsonl: record ")
    assert said.err.endswith(" does not match its hash. The journal was changed after it was written.\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "run.jsonl holds no whole record, so there is nothing to replay."),
        (b"not a record\n", "run.jsonl: line 1 is not a record of a journal."),
    ],
)
def test_what_is_no_journal_is_told(cloudllm, file, content, problem):
    """An empty file, or one of something else, is named: status 2."""
    JOURNAL.write_bytes(content)

    said = cloudllm("replay", JOURNAL, file)

    assert (2, f"cloudllm: {problem}\n") == (said.status, said.err)


def test_a_missing_journal_is_told(cloudllm, file):
    """A journal that is not there is named: status 2."""
    said = cloudllm("replay", "nix.jsonl", file)

    assert (2, "cloudllm: nix.jsonl: No such file or directory.\n") == (said.status, said.err)
