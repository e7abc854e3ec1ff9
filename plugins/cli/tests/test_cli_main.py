"""The word after `cloudllm`: found, run, or told what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloudllm_core import Command, Registry, hookimpl
from cloudllm_core.errors import CloudLLMError, JournalError, RunError, SetupError


def command(name="greet", text="say hello", does=lambda arguments: 0):
    """A plugin with one command that *does* something."""

    class Greet(Command):
        help = text

        def configure(self, parser):
            parser.add_argument("--loud", action="store_true")

        def run(self, arguments):
            return does(arguments)

    Greet.name = name

    class Plugin:
        @hookimpl
        def cloudllm_register_command(self):
            return Greet

    Plugin.__name__ = name
    return Plugin()


def fail(error):
    def does(arguments):
        raise error

    return does


def test_help_lists_every_command_with_its_line(cloudllm):
    """`cloudllm --help` names the commands that are installed, and what each is for."""
    said = cloudllm("--help")

    assert 0 == said.status
    assert "  run      run the team that a TOML file describes\n" in said.out
    assert ["demo", "plugins", "replay", "run"] == [
        line.split()[0] for line in said.out.split("commands:\n")[1].split("\n\n")[0].splitlines()
    ]


def test_no_command_is_a_mistake_that_is_helped(cloudllm):
    """Without a word, the help goes to standard error and the status says that something is missing."""
    said = cloudllm()

    assert (2, "") == (said.status, said.out)
    assert said.err.startswith("usage: cloudllm [--debug] COMMAND ...\n")


def test_a_typo_gets_the_near_miss(cloudllm):
    """A command that does not exist is answered with the one that was probably meant."""
    said = cloudllm("rnu", "team.toml")

    assert 2 == said.status
    assert (
        "cloudllm: No command is called 'rnu' (installed: demo, plugins, replay, run). Did you mean 'run'?\n"
    ) == said.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run"], "The following arguments are required: TEAM.toml. See: cloudllm run --help"),
        (
            ["run", "a.toml", "--jsn"],
            "There is no option '--jsn' here. Did you mean '--json'? See: cloudllm run --help",
        ),
        (["run", "a.toml", "do", "it"], "There is no argument 'it' here. See: cloudllm run --help"),
        (
            ["run", "a.toml", "--sink"],
            "Argument --sink: expected one argument. See: cloudllm run --help",
        ),
        (
            ["run", "a.toml", "--js"],
            "There is no option '--js' here. Did you mean '--json'? See: cloudllm run --help",
        ),
        (["--versoin"], "There is no option '--versoin' here. Did you mean '--version'? See: cloudllm --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_told_in_a_sentence(cloudllm, words, sentence):
    """What makes no sense on the command line is named, with the near miss, and where to look."""
    said = cloudllm(*words)

    assert (2, f"cloudllm: {sentence}\n") == (said.status, said.err)


def test_help_of_a_command(cloudllm):
    """`cloudllm run --help` tells its arguments and its exit status, and asks for nothing."""
    said = cloudllm("run", "--help")

    assert (0, "") == (said.status, said.err)
    assert "TEAM.toml" in said.out
    assert "0 complete, 1 not complete, 2 something is set up wrongly, 130 Ctrl-C" in said.out


def test_version_names_both(cloudllm):
    """`--version` tells the command line's version and the kernel's."""
    said = cloudllm("--version")

    assert 0 == said.status
    assert said.out.startswith("cloudllm ")
    assert ", with cloudllm-core " in said.out


def test_a_command_of_a_third_party_is_a_command(cloudllm):
    """A plugin's command is listed and run as ours are, with its own options and the registry at hand."""
    seen = []
    registry = Registry.of(command(does=lambda arguments: seen.append(arguments) or 7))

    assert "  greet  say hello" in cloudllm("--help", registry=registry).out
    assert 7 == cloudllm("greet", "--loud", registry=registry).status
    assert (True, registry, False) == (seen[0].loud, seen[0].registry, seen[0].debug)


def test_a_command_may_have_commands_of_its_own(cloudllm):
    """A plugin's command may take words of its own kind, each with its options; a wrong one is told."""

    class Serve(Command):
        name = "serve"
        help = "serve something"

        def configure(self, parser):
            words = parser.add_subparsers(dest="what", required=True)
            words.add_parser("http").add_argument("--port", type=int)

        def run(self, arguments):
            return arguments.port

    class Plugin:
        __name__ = "serve"

        @hookimpl
        def cloudllm_register_command(self):
            return Serve

    registry = Registry.of(Plugin())

    assert 80 == cloudllm("serve", "http", "--port", "80", registry=registry).status
    assert (
        "cloudllm: Argument --port: invalid int value: 'x'. See: cloudllm serve http --help\n"
        == cloudllm("serve", "http", "--port", "x", registry=registry).err
    )


@pytest.mark.parametrize("words", [["--debug", "greet"], ["greet", "--debug"], ["greet", "--loud", "--debug"]])
def test_debug_may_stand_anywhere(cloudllm, words):
    """`--debug` before or after the command shows the traceback, and the sentence after it."""
    said = cloudllm(*words, registry=Registry.of(command(does=fail(KeyError("x")))))

    assert "Traceback (most recent call last)" in said.err
    assert said.err.endswith("cloudllm: KeyError: 'x'. This is a bug. To see where, run it again with --debug.\n")


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (SetupError("It is set up wrongly."), 2, "It is set up wrongly."),
        (JournalError("It is no journal."), 2, "It is no journal."),
        (RunError("The world let it down."), 1, "The world let it down."),
        (CloudLLMError("Something else."), 1, "Something else."),
        (OSError(28, "No space left on device", "x.txt"), 1, "[Errno 28] No space left on device: 'x.txt'"),
        (ValueError("odd"), 1, "ValueError: odd. This is a bug. To see where, run it again with --debug."),
        (ZeroDivisionError(), 1, "ZeroDivisionError. This is a bug. To see where, run it again with --debug."),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_are_sentences(cloudllm, error, status, sentence):
    """Whatever a command raises is told in a sentence, without a traceback, and gives its status."""
    said = cloudllm("greet", registry=Registry.of(command(does=fail(error))))

    assert (status, "", f"cloudllm: {sentence}\n") == (said.status, said.out, said.err)


def test_after_two_dashes_debug_is_a_word(cloudllm, team):
    """What follows `--` is meant as it stands: a prompt may be `--debug`."""
    said = cloudllm("run", team(), "--json", "--journal", "run.jsonl", "--", "--debug")

    assert 0 == said.status
    assert '"prompt":"--debug"' in Path("run.jsonl").read_text("utf-8")


BROKEN = "raise RuntimeError('half written')"
FINE = """
from cloudllm_core import Command, hookimpl

class Greet(Command):
    name = "greet"
    help = "say hello"
    def configure(self, parser): ...
    def run(self, arguments):
        print("Hello!")
        return 0

@hookimpl
def cloudllm_register_command():
    return Greet
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of installed distributions, each with one command; gives a registry of it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(**commands: str) -> Registry:
        for name, code in commands.items():
            (tmp_path / f"shelf_{name}.py").write_text(code, "utf-8")
            info = tmp_path / f"shelf_{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: shelf-{name}\nVersion: 1.0\nRequires-Dist: cloudllm-core\n", "utf-8"
            )
            entry = f"[cloudllm.command]\n{name} = shelf_{name}\n"
            (info / "entry_points.txt").write_text(entry, "utf-8")
        return Registry(path=[str(tmp_path)])

    yield put
    for name in [name for name in sys.modules if name.startswith("shelf_")]:
        del sys.modules[name]


def test_a_broken_command_stops_no_other(cloudllm, shelf):
    """The help shows what is wrong with a broken command; the others are listed, and work."""
    registry = shelf(greet=FINE, broken=BROKEN)

    said = cloudllm("--help", registry=registry)

    assert 0 == said.status
    assert "  greet   say hello\n" in said.out
    assert (
        "  broken  cannot be used: The command 'broken' of shelf-broken could not be imported: "
        "RuntimeError: half written. Repair or uninstall it.\n"
    ) in said.out
    assert (0, "Hello!\n") == (cloudllm("greet", registry=registry).status, cloudllm("greet", registry=registry).out)


def test_only_the_command_asked_for_is_imported(cloudllm, shelf):
    """Running one command does not touch the code of another."""
    cloudllm("greet", registry=shelf(greet=FINE, broken=BROKEN, other=FINE.replace("greet", "other")))

    assert ["shelf_greet"] == [name for name in sys.modules if name.startswith("shelf_")]


def test_a_broken_command_that_is_asked_for_is_told(cloudllm, shelf):
    """Asking for a broken command says what is wrong with it, and that it is not a matter of the words."""
    said = cloudllm("broken", registry=shelf(broken=BROKEN))

    assert 2 == said.status
    assert said.err.startswith("cloudllm: The command 'broken' of shelf-broken could not be imported: ")


def test_python_m_is_the_same_command(python):
    """`python -m cloudllm_cli` works, warns of nothing, and its exit status is the command's."""
    done = subprocess.run([*python, "rnu"], capture_output=True, text=True, check=False, timeout=60)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("cloudllm: No command is called 'rnu' (installed: demo, ")


def test_a_reader_that_leaves_early_is_no_error(python):
    """`cloudllm plugins list | head -0` ends quietly."""
    with subprocess.Popen([*python, "plugins", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
        process.wait(timeout=60)

    assert b"" == told
