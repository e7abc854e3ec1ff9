"""Allow and deny lists: over the programs a line names, wherever it names them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import ToolContext
from cloudllm_tool_bash import Bash, CommandRefusedError, SandboxError
from cloudllm_tool_bash.shell import UnclearError, commands
from cloudllm_tool_bash.words import Lists, entries

LISTS = Lists(
    allow=("ls", "echo", "cat", "grep", "env", "xargs", "bash", "git status", "find", "cd", "timeout", "sudo")
)
DENY = Lists(deny=("rm", "git push"))


def refusal(lists: Lists, source: str) -> str:
    with pytest.raises(CommandRefusedError) as refused:
        lists.judge(source)
    return str(refused.value)


@pytest.mark.parametrize(
    "source",
    [
        "ls",
        "ls -la | grep x && echo done; cat < file > other 2>&1",
        "/bin/ls",
        "\\ls",
        "'l's \"*\"",
        "FOO=1 BAR='a b' ls",
        "(cd sub && ls) &",
        'echo "$(ls | grep "a b")" `cat x`',
        "if ls; then echo yes; elif cat x; then echo; else echo no; fi",
        'for f in *.txt; do cat "$f" | grep x; done',
        "while ls; do echo; done",
        "! { ls; }",
        "env -i A=1 ls",
        "ls | xargs -0 -n1 grep x",
        "bash -c 'ls; echo $0'",
        "sudo -u nobody timeout -k 1 5 ls",
        "git status -s",
        "find . -name '*.py' -exec grep -l x {} + -o -exec cat {} \\;",
        "cat <<EOF\nrm -rf / is text here\nEOF\nls",
        "cat <<'EOF'\n$(rm x)\nEOF",
        "cat <<-A <<B | grep x\n\tone\n\tA\ntwo\nB\necho",
        "ls # rm",
        "echo '#' a#b; # rm",
        "cat <(ls) >(grep x)",
        "ls \\\n -la |\\\n grep x && \\\n cat",
        "xargs -I{} cat {}",
        "xargs bash -c 'ls \"$@\"' _",
        "cat <<EOF\na \\$(rm) \\`\nEOF",
        'echo ${HOME} $HOME ${#x} ${x:-plain} $? "$@"',
        "",
        "A=1",
    ],
)
def test_allowed_programs_pass(source: str) -> None:
    """Wherever they stand, and whatever is quoted around them."""
    LISTS.judge(source)


HIDDEN = [
    "rm x",
    "ls; rm x",
    "ls && rm x",
    "ls | rm x",
    "ls & rm x",
    "ls\nrm x",
    "ls |& rm x",
    "(rm x)",
    "{ rm x; }",
    "! rm x",
    "echo $(rm x)",
    'echo "$(rm x)"',
    'echo "a `rm x` b"',
    "echo `echo \\`rm x\\``",
    "cat <(rm x)",
    "ls > $(rm x)",
    "ls > >(rm x)",
    "FOO=$(rm x) ls",
    "FOO=1 rm x",
    "FOO=$(rm x)",
    "\\rm x",
    "'r'm x",
    '"rm" x',
    "r\\m x",
    "r\\\nm x",
    "/bin/rm x",
    "/usr/bin/../bin/rm x",
    "env rm x",
    "env =x 1=2 rm x",
    "env -u A B=1 rm x",
    "ls | xargs rm",
    "ls | xargs -I{} -n1 rm {}",
    "xargs --max-args=1 rm",
    "sudo rm x",
    "sudo -u root -- rm x",
    "sudo env timeout 5 rm x",
    "timeout -s KILL 5 rm x",
    "bash -c 'rm x'",
    "bash -ec 'ls; rm x'",
    "bash -c \"bash -c 'rm x'\"",
    "find . -exec rm {} +",
    "find . -name x -exec ls {} \\; -execdir rm {} \\;",
    "if rm x; then ls; fi",
    "if ls; then rm x; fi",
    "while ls; do rm x; done",
    "for f in a $(rm x); do ls; done",
    "for f in a; do rm x; done",
    "cat <<EOF\n$(rm x)\nEOF",
    "cat <<EOF\nEOF\nrm x",
    "cat <<'EOF'\n$(ls)\nEOF\nrm x",
    "echo a#b; rm x",
    "echo '# ' ; rm x",
    "ls 2>&1; rm x",
    "2>/dev/null rm x",
    "time rm x",
    "exec rm x",
    "command rm x",
    "nohup rm x",
    "busybox rm x",
    "eval rm x",
    "eval 'ls; rm x'",
    "echo ${x:-$(rm x)}",
    "cat <<'EOF'\nfoo\\\nEOF\nrm x",
    "cat <<EOF\nfoo\\\nEOF\nEOF\nrm x",
    "ls # foo\\\nrm x",
    "echo $(cat <<E)\nrm x\nE",
    'echo "$\\\n(rm x)"',
    "echo 'a\\\n'; rm x",
    "echo rm | xargs env",
    "echo rm | xargs -I{} {} x",
    "echo rm | xargs -IX timeout 5 X x",
    "echo rm | xargs timeout 5",
    "find . -exec {} +",
    "find . -exec env {} +",
    "find . -exec bash -c 'ls {}' \\;",
    "echo rm | sudo -s",
    "bash --rcfile -c ls",
    "bash -lc 'rm x'",
    "declare -n r=PATH; r=.; ls",
    "for PATH in ./evil; do ls; done",
    "printf -vPATH ./evil; ls",
    "read -aPATH <<< ./evil; ls",
    "export PATH+=:./evil; ls",
    "printf -v 'PATH[0]' ./evil; ls",
    "x=PATH; printf -v $x .; ls",
    "x=PATH; read $x; ls",
    "test -v 'a[$(rm x)]'",
    "printf -v 'a[`rm x`]' 1",
    "echo $((a[$(rm x)]))",
    "echo $(( $(rm x) ))",
    "echo $[a[`rm x`]]",
]
"""F91: ways to run rm that a look at the first word, or at the letters, does not see."""


@pytest.mark.parametrize("source", HIDDEN)
def test_a_program_is_found_wherever_it_hides(source: str) -> None:
    """F91: refused by an allow list without it, and by a deny list with it."""
    assert "The command was not run: " in refusal(LISTS, source)
    assert "The command was not run: " in refusal(DENY, source)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("$x", "the name of a program is only known when it runs"),
        ("$(echo rm) x", "the name of a program is only known when it runs"),
        ("r? x", "the name of a program is only known when it runs"),
        ("{rm,-rf,x}", "the name of a program is only known when it runs"),
        ("$'\\x72m' x", "the name of a program is only known when it runs"),
        ('eval "$x"', "a command is put together when it runs"),
        ('bash -c "$x"', "a command is put together when it runs"),
        ("bash script.sh", "'bash' runs what is in a file, or what it reads"),
        ("echo x | bash", "'bash' runs what is in a file, or what it reads"),
        ("ls() { rm x; }; ls", "it holds a function, an array or a pattern with '('"),
        ("a=(1 2)", "it holds a function, an array or a pattern with '('"),
        ("case x in x) rm y;; esac", "'case' is not read here"),
        ("[[ a == b ]] && ls", "'[[' is not read here"),
        ("((x=1))", "it holds a function, an array or arithmetic"),
        ("echo $((1+1))", "it holds arithmetic"),
        ("for x do ls; done", "'for' without 'in' is not read here"),
        ("PATH=. ls", "PATH is set"),
        ("env PATH=. ls", "PATH is set, or may be"),
        ("export BASH_ENV=x", "BASH_ENV is set, or may be"),
        ("env -S 'rm x'", "the option -S of 'env' is not known here"),
        ("alias ls=rm", "what 'alias' runs or changes is not in its words"),
        (". file", "what '.' runs or changes is not in its words"),
        ("echo 'a", "a ' is not closed"),
        ('echo "a', 'a " is not closed'),
        ("echo `a", "a ` is not closed"),
        ("(ls", "a ')' is missing"),
        ("ls)", "a ')' stands where none is expected"),
        ("ls >", "nothing follows '>'"),
        ("echo ${!x}", "it holds a ${...} that is not plain"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(source: str, why: str) -> None:
    """And the refusal says why."""
    both = Lists(allow=(*LISTS.allow, "export", "alias", ".", "eval"))

    assert (
        f"The command was not run: which programs it runs cannot be told by reading it: {why}. Write it as plain "
        "commands, with the names of programs in full." == refusal(both, source)
    )


def test_names_are_whole_words() -> None:
    """``ls`` is not ``lsof``, and denying ``su`` denies no ``sum``."""
    assert "'lsof' is not allowed here" in refusal(Lists(allow=("ls",)), "lsof")
    Lists(deny=("su",)).judge("sum x")


def test_entries_may_have_several_words() -> None:
    """Then those words must follow."""
    lists = Lists(allow=("git status", "git log"), deny=("git log --all",))
    lists.judge("git status -s; git log")

    assert "'git push' is not allowed here. Use: git status, git log." in refusal(lists, "git push")
    assert "'git' is denied here." in refusal(lists, "git log --all")
    assert "'git' is not allowed here" in refusal(lists, "git")
    assert "the words after 'git' are only known when it runs" in refusal(DENY, "git $x")


def test_a_file_of_the_workspace_is_no_program_of_the_system() -> None:
    """``./ls`` may be anything; it can be allowed by its own path."""
    assert "'./ls' is not allowed here" in refusal(Lists(allow=("ls",)), "./ls")
    Lists(allow=("./ls",)).judge("./ls")
    assert "'./rm' is denied here" in refusal(DENY, "./rm x")


def test_without_lists_nothing_is_read() -> None:
    """The sandbox is the boundary."""
    Lists().judge("$x ${!y} ((( `")


def test_wrong_entries_are_named() -> None:
    """With what an entry is."""
    with pytest.raises(TypeError, match="allow and deny must be lists such as"):
        entries("git")
    with pytest.raises(
        ValueError, match="'ls | cat' must be a program's name, or its first words, such as 'git status'"
    ):
        entries(["ls | cat"])


PIECES = st.sampled_from(
    ["rm", "ls", " ", "\n", ";", "|", "&", "(", ")", "'", '"', "`", "$(", "$", "\\", "<<E", "E", ">", "#", "{", "}"]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_read_or_refused(source: str) -> None:
    """Nothing else happens, and it ends."""
    with contextlib.suppress(UnclearError):
        assert all(command for command in commands(source))


@given(st.text(max_size=20).filter(lambda text: "\0" not in text and "\\\n" not in text))
def test_quoted_words_are_read_as_they_are(text: str) -> None:
    """As ``shlex.quote`` writes them."""
    quoted = "'" + text.replace("'", "'\"'\"'") + "'"

    assert [["echo", text]] == [[word.text for word in command] for command in commands(f"echo {quoted}")]


@pytest.mark.parametrize(
    "source", ["echo " + "$(" * 40_000, 'echo "' + '"$(' * 30_000, "eval " * 4_000 + "ls", "env " * 4_000 + "ls"]
)
def test_what_is_nested_without_end_is_refused_soon(source: str) -> None:
    """Each level is read anew, so that many would take hours."""
    assert "it is nested more than 8 deep." in refusal(Lists(["echo", "env", "eval", "ls"]), source)


def test_a_command_that_is_too_long_is_not_even_read(tmp_path: Path) -> None:
    """By the lists, as by the sandbox."""
    context = ToolContext(agent="ada", run_id="r", call_id="c", key="k", deadline=0.0)
    with pytest.raises(SandboxError) as refused:
        asyncio.run(Bash(tmp_path / "w", allow=["ls"]).call("bash", {"command": "rm " + "x" * 100_000}, context))

    assert "a command may have 100,000 bytes, and none of them zero." in str(refused.value)
