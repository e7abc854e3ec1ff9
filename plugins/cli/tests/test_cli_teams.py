"""Team files that are wrong, told in sentences: the file, the place, what was found and what was expected."""

from __future__ import annotations

import pytest

ADA = '[[agents]]\nname = "ada"\n'
WORKS = f'{ADA}model = "parrot:ada"\n'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "mode: found none, expected the name of a mode (once)."),
        ("mode = 3", "mode: found 3, expected the name of a mode (once)."),
        (
            f'mode = "onec"\n{WORKS}',
            "mode: No mode is called 'onec' (installed: once). Did you mean 'once'?",
        ),
        (
            f'mode = {{ name = "onec" }}\n{WORKS}',
            "mode.name: No mode is called 'onec' (installed: once). Did you mean 'once'?",
        ),
        (
            f'mode = {{ name = "once", ludly = true }}\n{WORKS}',
            "mode.ludly: found the unknown setting 'ludly', expected one of loudly for 'once'. Did you mean 'loudly'?",
        ),
        (
            f'mode = {{ name = "once", loudly = "yes" }}\n{WORKS}',
            "mode.loudly: found 'yes', expected true or false.",
        ),
        ('mode = "once"', "agents: found none, expected at least one [[agents]] table."),
        (
            f'mode = "once"\nsinsk = []\n{WORKS}',
            (
                "sinsk: found the unknown key 'sinsk', expected one of mode, name, system_context, limits, "
                "on_failure, prices, policy, sinks, agents. Did you mean 'sinks'?"
            ),
        ),
        (
            f'mode = "once"\npromt = "x"\n{WORKS}',
            (
                "promt: found the unknown key 'promt', expected one of mode, name, system_context, limits, "
                "on_failure, prices, policy, sinks, agents. Did you mean 'prompt'?"
            ),
        ),
        (f'prompt = ["x"]\nmode = "once"\n{WORKS}', "prompt: found ['x'], expected text."),
        (
            f'mode = "once"\nsinks = "console"\n{WORKS}',
            "sinks: found 'console', expected a list, such as [\"console\"].",
        ),
        (
            f'mode = "once"\nsinks = ["leak", "consol"]\n{WORKS}',
            "sinks[1]: No event sink is called 'consol' (installed: console, leak). Did you mean 'console'?",
        ),
        (f'mode = "once"\n{ADA}', "agents[0]: found no 'model', expected 'model', which 'Agent' needs."),
        (
            f'mode = "once"\n{ADA}model = "gpt-5"\n',
            "agents[0].model: found 'gpt-5', expected text of the form 'provider:model'. Installed providers: parrot.",
        ),
        (
            f'mode = "once"\n{WORKS}[[agents]]\nname = "bob"\nmodel = "parot:x"\n',
            "agents[1].model: No provider is called 'parot' (installed: parrot). Did you mean 'parrot'?",
        ),
        (
            f'mode = "once"\n{ADA}model = {{ name = "parot:x" }}\n',
            "agents[0].model.name: No provider is called 'parot' (installed: parrot). Did you mean 'parrot'?",
        ),
        (
            f'mode = "once"\n{WORKS}tools = ["filesytem"]\n',
            (
                "agents[0].tools[0]: No tool protocol is called 'filesytem' (installed: none). "
                "See what is installed with: cloudllm plugins list"
            ),
        ),
        (
            f'mode = "once"\n{WORKS}strategy = "trim"\n',
            (
                "agents[0].strategy: No context strategy is called 'trim' (installed: none). "
                "Install it with: pip install cloudllm-context-trim"
            ),
        ),
        (
            f'mode = "once"\n{WORKS}{WORKS}',
            "Two agents are called 'ada'; their words could not be told apart. Rename one.",
        ),
        (
            f'mode = "once"\nlimits = {{ call = 3 }}\n{WORKS}',
            (
                "limits.call: found the unknown setting 'call', expected one of "
                "rounds, calls, seconds, tokens, cost for 'Limits'. Did you mean 'calls'?"
            ),
        ),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence(cloudllm, tmp_path, monkeypatch, content, sentence):
    """The file's name comes first, then the key; nothing runs, and the status is 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team.toml").write_text(content, "utf-8")

    said = cloudllm("run", "team.toml", "Begin.")

    assert (2, "", f"cloudllm: team.toml: {sentence}\n") == (said.status, said.out, said.err)


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        (b"mode = \n", "line 1, column 8", "this is not TOML: invalid value."),
        (
            b'mode = "once"\n\n[[agents]\n',
            "line 3, column 9",
            "this is not TOML: expected ']]' at the end of an array",
        ),
        (b'mode = "on', "line 1, column 11", "this is not TOML: unterminated string."),
        (b'mode = "once"\nname = "\xff"\n', "line 2", "found bytes that are not UTF-8, expected TOML."),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(cloudllm, tmp_path, monkeypatch, content, place, problem):
    """Line and column are where an editor finds the mistake."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team.toml").write_bytes(content)

    said = cloudllm("run", "team.toml", "Begin.")

    assert 2 == said.status
    assert said.err.startswith(f"cloudllm: team.toml, {place}: {problem}")


def test_a_missing_file_gets_its_near_miss(cloudllm, team):
    """A file that is not there is answered with one of a like name that is."""
    team()

    said = cloudllm("run", "taem.toml", "Begin.")

    assert (2, "cloudllm: taem.toml: there is no such file. Did you mean 'team.toml'?\n") == (said.status, said.err)


def test_a_missing_file_without_neighbours(cloudllm, tmp_path):
    """Where nothing of a like name is near, the sentence says what is wanted."""
    said = cloudllm("run", tmp_path / "nowhere" / "x.toml", "Begin.")

    assert said.err.endswith("there is no such file. Give the name of a team file, a TOML file that describes agents "
                             "and a mode.\n")  # fmt: skip


def test_a_folder_is_no_team_file(cloudllm, tmp_path):
    """A folder in place of a file is named, with the system's reason."""
    said = cloudllm("run", tmp_path, "Begin.")

    assert (2, f"cloudllm: {tmp_path}: it cannot be read (Is a directory).\n") == (said.status, said.err)
