"""What a user sets, what agents are told of it, and what is said where it cannot be had."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_core import ToolContext
from cloudllm_core.errors import SettingsError
from cloudllm_tool_bash import Bash, CommandRefusedError, Result, Sandbox, SandboxError, bwrap, probe, seccomp
from cloudllm_tool_bash.sandbox import LONGEST_COMMAND

CONTEXT = ToolContext(agent="ada", run_id="r", call_id="c", key="r/ada/1", deadline=0.0)


def said(box: Sandbox, command: str = "true") -> str:
    with pytest.raises(SandboxError) as refused:
        asyncio.run(box.run(command))
    return str(refused.value)


# -- settings --


def test_settings_come_from_plain_data(tmp_path: Path) -> None:
    """As from a table of a team file."""
    table = {
        "workspace": str(tmp_path / "w"),
        "timeout": 5,
        "allow": ["ls"],
        "environment": {"A": "1"},
        "memory": 10**9,
    }
    made = Bash.from_settings({**table, "read_only": ["/opt"], "network": True})

    assert (tmp_path / "w", 5.0, ("ls",), (Path("/opt"),)) == (made.workspace, made.timeout, made.allow, made.read_only)
    assert "'A'" not in repr(made)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sandbx": "none"}, "Did you mean 'sandbox'?"),
        ({"sandbox": "landlock"}, "sandbox: found 'landlock', expected one of 'bubblewrap', 'none'."),
        ({"timeout": 0}, "timeout: found 0, expected more than 0."),
        ({"timeout": float("inf")}, "timeout: found inf, expected more than 0."),
        ({"memory": -1}, "memory: found -1, expected at least 16777216 bytes."),
        ({"allow": "ls"}, "allow: found 'ls', expected a list."),
        ({"deny": ["a | b"]}, "'a | b' must be a program's name, or its first words, such as 'git status'."),
        ({"environment": {"A=B": "1"}}, "the environment variable 'A=B' must have a plain name"),
        ({"workspace": "/"}, "the workspace '/' would hold '/boot'; choose a folder of its own."),
        ({"workspace": "/home"}, "the workspace '/home' is a folder of the system; choose a folder of its own."),
        ({"workspace": "/etc/passwd"}, "the workspace '/etc/passwd' is no folder"),
        ({"environment": {"A B": "c"}}, "the environment variable 'A B' must have a plain name"),
        ({"workspace": "/etc/ssl"}, "the workspace '/etc/ssl' lies in '/etc'; choose a folder elsewhere."),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """Each with what was expected."""
    with pytest.raises(SettingsError) as caught:
        Bash.from_settings({"workspace": str(tmp_path / "w"), **settings})

    assert sentence in str(caught.value)


def test_a_home_is_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys would be in the sandbox; neither by its own name nor by a link."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path.parent, tmp_path / "link"):
        with pytest.raises(ValueError, match=r"(would hold .*|is a folder of the system); choose a folder of its own"):
            Bash(path)
    Bash(tmp_path / "project")


def test_a_workspace_is_made_on_first_use_and_stays_where_it_was_meant(
    bubblewrap: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parents included; a later change of the working directory does not move it."""
    monkeypatch.chdir(tmp_path)
    box = Bash("deep/er")
    assert not (tmp_path / "deep").exists()
    monkeypatch.chdir("/")

    assert f"{tmp_path.resolve()}/deep/er\n" == asyncio.run(box.run("pwd")).stdout


# -- the tool --


def test_the_sandbox_without_network_needs_its_workspace_only(tmp_path: Path) -> None:
    """So nobody is asked about its calls, and what it brings is the team's own."""
    (tool,) = Bash(tmp_path).tools()

    about = (tool.name, tool.effect, tool.needs, tool.untrusted, tool.approve)
    assert ("bash", "write", ("files",), False, False) == about
    assert tool.timeout > 30
    assert "There is no network. It is stopped after 30 seconds." in tool.description
    assert 16 == tool.concurrency  # a thousand calls at once would be a thousand sandboxes


def test_with_network_it_says_so(tmp_path: Path) -> None:
    """It reaches out, and brings in foreign text."""
    (tool,) = Bash(tmp_path, network=True).tools()

    assert (("files", "network"), True, False) == (tool.needs, tool.untrusted, tool.approve)


def test_without_a_sandbox_each_call_is_approved(tmp_path: Path) -> None:
    """By its definition, which also says all it can reach."""
    (tool,) = Bash(tmp_path, sandbox="none", allow=["ls"], deny=["rm"]).tools()

    assert (("processes", "files", "outside", "network"), True, True) == (tool.needs, tool.untrusted, tool.approve)
    assert tool.description.startswith("Run a bash command on the user's machine, without a sandbox;")
    assert tool.description.endswith("Only these programs may be used: ls. These may not: rm.")


def test_without_a_sandbox_commands_are_the_users(tmp_path: Path) -> None:
    """With a clean environment, limits and an end all the same."""
    os.environ["CLOUDLLM_CANARY"] = "canary"
    try:
        free = Bash(tmp_path / "w", sandbox="none", environment={"A": "1"})
        result = asyncio.run(free.run("pwd; echo $A $CLOUDLLM_CANARY; cat; exit 3"))
        late = asyncio.run(free.run("sleep 600 & sleep 600", timeout=0.2))
    finally:
        del os.environ["CLOUDLLM_CANARY"]

    assert (3, f"{tmp_path}/w\n1\n") == (result.exit_code, result.stdout)
    assert (124, "Stopped: it was not done after 0.2 seconds.") == (late.exit_code, late.notice)


def test_a_call_gives_plain_data(box: Bash) -> None:
    """The original's four values; a notice where it was stopped; its time may be cut short."""
    result = asyncio.run(box.call("bash", {"command": "echo out"}, CONTEXT))
    late = asyncio.run(box.call("bash", {"command": "sleep 600", "timeout": 0.1}, CONTEXT))

    assert {"exit_code": 0, "stdout": "out\n", "stderr": ""} == {k: v for k, v in result.items() if k != "duration_ms"}
    assert (124, "Stopped: it was not done after 0.1 seconds.") == (late["exit_code"], late["notice"])
    assert asyncio.run(box.run("true", timeout=10**6)).exit_code == 0


def test_a_refused_command_is_not_run(box: Bash) -> None:
    """The lists hold for calls."""
    picky = attrs.evolve(box, allow=["echo"])
    with pytest.raises(CommandRefusedError, match="'touch x' is not allowed here. Use: echo."):
        asyncio.run(picky.call("bash", {"command": "echo; touch x"}, CONTEXT))


def test_too_long_a_command_is_refused(box: Bash) -> None:
    """With the remedy."""
    assert "Write a long script into a file and run that." in said(box, "x" * (LONGEST_COMMAND + 1))
    assert "and none of them zero" in said(box, "a\0b")
    assert 0 == asyncio.run(box.run(": " + "x" * (LONGEST_COMMAND - 2))).exit_code
    assert "?\n" == asyncio.run(box.run("echo '\ud800'")).stdout


# -- what commands see --


def test_no_secret_of_ours_is_inside(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """F92, F114: not in the environment of any process in there, not in what they print, not in errors."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1")
    monkeypatch.setenv("BASH_ENV", "/tmp/sk-canary-2")
    monkeypatch.setenv("BASH_FUNC_ls%%", "() { echo sk-canary-3; }")
    result = run("env; set; export -p; cat /proc/*/environ /proc/*/cmdline; ls; no-such-program")

    assert "HOME=/tmp\n" in result.stdout
    assert "sk-canary" not in result.stdout + result.stderr


def test_the_environment_is_what_was_set(box: Bash) -> None:
    """Beside it, four variables, and what bash sets itself."""
    own = attrs.evolve(box, environment={"A": "1", "LANG": "C"})
    names = "A=1 HOME=/tmp LANG=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb"

    assert names.split() == asyncio.run(own.run("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort")).stdout.split()


def test_more_can_be_shown_for_reading(box: Bash, tmp_path: Path) -> None:
    """Outside of the workspace; and within, what may not be changed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("text\n")
    (box.workspace / "fixed").mkdir(exist_ok=True)
    own = attrs.evolve(box, read_only=[tmp_path / "data", box.workspace / "fixed"])
    result = asyncio.run(own.run(f"cat {tmp_path}/data/a.txt; touch {tmp_path}/data/b; touch fixed/b; touch free; ls"))

    assert "text\n" == result.stdout[:5]
    assert 2 == result.stderr.count("Read-only file system")
    missing = attrs.evolve(box, read_only=["/no/such/folder"])
    assert "/no/such/folder" in said(missing)


def test_what_git_would_run_cannot_be_planted(bubblewrap: None, tmp_path: Path) -> None:
    """Hooks and configuration run on the host, when its user calls git there; the rest of .git is writable."""
    (tmp_path / "w/.git/hooks").mkdir(parents=True)
    (tmp_path / "w/.git/config").write_text("[core]\n")
    box = Bash(tmp_path / "w")
    result = asyncio.run(
        box.run("touch .git/hooks/x; echo >> .git/config; mv .git other; rm -rf .git/hooks; touch .git/ok")
    )

    assert ["config", "hooks", "ok"] == sorted(os.listdir(tmp_path / "w/.git"))
    assert ("[core]\n", []) == ((tmp_path / "w/.git/config").read_text(), os.listdir(tmp_path / "w/.git/hooks"))
    assert 0 == result.exit_code


def test_what_may_not_be_changed_cannot_be_moved_away(bubblewrap: None, tmp_path: Path) -> None:
    """So that no link to a secret can take its place; one that does all the same is not followed."""
    (tmp_path / "secret.txt").write_text("canary")
    (tmp_path / "w/a/b").mkdir(parents=True)
    (tmp_path / "w/a/b/fixed.txt").write_text("fixed")
    box = Bash(tmp_path / "w", read_only=[tmp_path / "w/a/b/fixed.txt"])
    move = "mv a c; mv a/b a/c; mv a/b/fixed.txt x; rm -rf a; echo > a/b/fixed.txt; touch a/b/free; ls a/b"
    assert "fixed.txt\nfree\n" == asyncio.run(box.run(move)).stdout

    (tmp_path / "w/a/b/fixed.txt").unlink()
    (tmp_path / "w/a/b/fixed.txt").symlink_to(tmp_path / "secret.txt")
    assert "is, or lies behind, a link, which might lead anywhere." in said(box, "cat a/b/fixed.txt")


def test_what_may_be_read_stands_where_it_was_said(bubblewrap: None, tmp_path: Path) -> None:
    """Outside of the workspace at the path that was given, links and all; in it, where the workspace really is."""
    (tmp_path / "real/w").mkdir(parents=True)
    (tmp_path / "real/w/fixed").write_text("fixed")
    (tmp_path / "lib-1").mkdir()
    (tmp_path / "lib-1/x").write_text("text")
    (tmp_path / "lib").symlink_to("lib-1")
    (tmp_path / "link").symlink_to("real")
    box = Bash(tmp_path / "link/w", read_only=[tmp_path / "lib", tmp_path / "link/w/fixed"])
    result = asyncio.run(box.run(f"cat {tmp_path}/lib/x; echo > fixed || cat fixed"))

    assert "textfixed" == result.stdout


def test_a_workspace_is_where_it_was_when_it_was_set_up(bubblewrap: None, tmp_path: Path) -> None:
    """Though an agent whose workspace holds it puts a link to a secret in its place."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/key").write_text("SECRET")
    outer, inner = Bash(tmp_path / "w"), Bash(tmp_path / "w/inner")
    assert "" == asyncio.run(inner.run("true")).stderr
    asyncio.run(outer.run(f"rmdir inner; ln -s {tmp_path}/home inner"))

    assert "/inner' is, or lies behind, a link, which might lead anywhere." in said(inner, "cat key")


def test_a_link_swapped_in_while_a_sandbox_is_set_up_shows_nothing(bubblewrap: None, tmp_path: Path) -> None:
    """Bubblewrap would follow it; what it made is looked at before the command begins."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/key").write_text("SECRET")
    outer, inner = Bash(tmp_path / "w"), Bash(tmp_path / "w/inner")
    turn = "mv -T inner k; mv -T link inner; mv -T inner link; mv -T k inner"
    swap = f"ln -s {tmp_path}/home link; while :; do {turn}; done"

    async def main() -> list[str]:
        await inner.run("true")
        swapping = asyncio.ensure_future(outer.run(swap))
        seen = list[str]()
        for _ in range(25):
            try:
                seen.append((await inner.run("cat key")).stdout)
            except SandboxError as refused:
                seen.append(str(refused))
        swapping.cancel()
        await asyncio.wait([swapping])
        return seen

    seen = asyncio.run(main())
    assert "SECRET" not in seen
    assert [] != [each for each in seen if each.startswith("No command was run")]


def test_links_of_a_workspace_show_nothing_of_the_host(bubblewrap: None, tmp_path: Path) -> None:
    """Not by reading through them, nor by having them mounted, before the first command or after it."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "config").write_text("canary")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").symlink_to(tmp_path / "secret")
    box = Bash(tmp_path / "w")
    look = "cat .git/config link/config; ls -la .git/"
    first = asyncio.run(box.run(look))
    asyncio.run(box.run(f"rm .git; mkdir .git; ln -s {tmp_path}/secret .git/hooks; ln -s {tmp_path}/secret link"))
    second = asyncio.run(box.run(look + "; cat .git/hooks/config"))

    assert "canary" not in first.stdout + second.stdout


def test_with_network_the_hosts_sockets_of_other_kinds_stay_shut(box: Bash) -> None:
    """Its abstract UNIX sockets belong to its network; so the sandbox makes none of that kind."""
    open_box = attrs.evolve(box, network=True)
    python = shutil.which("python3", path="/usr/bin:/bin") or os.path.realpath(sys.executable)
    try_both = (
        "import socket\nsocket.socket(socket.AF_INET).close(); socket.socketpair()[0].close(); print('inet')\n"
        "try:\n socket.socket(socket.AF_UNIX)\nexcept OSError as problem: print(problem.strerror)"
    )
    result = asyncio.run(open_box.run(f'{python} -W ignore -IS -c "$CODE"', environment={"CODE": try_both}))

    assert "inet\nOperation not permitted\n" == result.stdout


def test_with_network_no_pair_of_sockets_is_turned_to_one_of_the_hosts(box: Bash) -> None:
    """A pair for datagrams can send to any name, so there are none; streams cannot."""
    python = shutil.which("python3", path="/usr/bin:/bin") or os.path.realpath(sys.executable)
    code = (
        "import socket\nfor kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):\n"
        " try:\n  one, other = socket.socketpair(socket.AF_UNIX, kind)\n  one.sendto(b'x', chr(0) + 'cloudllm-name')\n"
        " except OSError as problem:\n  print(problem.strerror)\n else:\n  print(other.recv(9))"
    )
    result = asyncio.run(
        attrs.evolve(box, network=True).run(f'exec {python} -W ignore -IS -c "$CODE"', environment={"CODE": code})
    )

    refused = "Operation not permitted"
    assert [refused, refused, "Transport endpoint is already connected", "b'x'"] == result.stdout.splitlines()


# -- checks --


def test_a_check_accepts_by_exit_code(box: Bash) -> None:
    """True, or the end of what the command wrote, for the model to read."""
    (box.workspace / "done.txt").write_text("text")

    assert True is asyncio.run(box.check("test -f done.txt")("files", "I wrote it"))
    assert "'echo no; echo why >&2; exit 3' gave exit code 3.\nno\nwhy" == asyncio.run(
        box.check("echo no; echo why >&2; exit 3")("files", "")
    )
    late = asyncio.run(box.check("sleep 600", timeout=0.1)("files", ""))
    assert "'sleep 600' gave exit code 124.\nStopped: it was not done after 0.1 seconds." == late


def test_a_check_knows_the_task_and_the_evidence(box: Bash) -> None:
    """As variables, so that no word of a model becomes part of a command."""
    check = box.check('test "$TASK_ID $EVIDENCE" = "a \'; exit 0 #"')

    assert True is asyncio.run(check("a", "'; exit 0 #"))
    assert "check 'test " in check.__qualname__


# -- where it cannot be had --


def test_without_bubblewrap_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And runs nothing."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")

    assert (
        "No command was run: bubblewrap (bwrap) is not installed. Install bubblewrap: apt-get install bubblewrap, "
        "dnf install bubblewrap, or pacman -S bubblewrap. Ask for sandbox='none' only where a person approves each "
        "command." == said(Bash(tmp_path))
    )


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """Nothing weaker is taken in silence."""
    monkeypatch.setattr(sys, "platform", platform)

    assert f"the sandbox is made by bubblewrap, which needs Linux, and this is {platform}." in said(Bash(tmp_path))


def test_windows_has_no_tier_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no bash to hold."""
    monkeypatch.setattr(sys, "platform", "win32")

    assert "bash and its limits are not to be had on Windows." in said(Bash(tmp_path, sandbox="none"))


def test_a_bubblewrap_of_the_workspace_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent may have written it."""
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / "bin" / name))
    monkeypatch.setattr(sys, "platform", "linux")

    assert "Take the workspace out of PATH." in said(Bash(tmp_path))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bubblewrap is for Linux")
@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("bwrap: Unknown option --disable-userns", "bubblewrap is older than 0.8; install a newer one."),
        ("bwrap: prctl(PR_SET_SECCOMP): Invalid argument", "it needs CONFIG_SECCOMP_FILTER."),
        ("bwrap: No permissions to create new namespace", "namespaces"),
        ("bwrap: setting up uid map: Permission denied", "namespaces"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "namespaces"),
        ("", "bubblewrap ended without a word"),
    ],
)
def test_what_bubblewrap_lacks_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, remedy: str
) -> None:
    """A stand-in says what bubblewrap would."""
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(fake))
    refused = said(Bash(tmp_path / "w"))

    assert words in refused
    assert remedy in refused


@pytest.mark.parametrize(("path", "bad"), [(path, bad) for path, bad, _ in probe.FORBIDDING])
def test_settings_of_the_kernel_are_named(monkeypatch: pytest.MonkeyPatch, path: str, bad: str) -> None:
    """The one that forbids, and what to do."""
    monkeypatch.setattr(os.path, "exists", lambda asked: asked == path)
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: f"{bad}\n")

    assert next(cure for at, _, cure in probe.FORBIDDING if at == path) == probe.remedy("creating new namespace")


LEAKS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "the whole root": (lambda a: [*a[:-1], "--ro-bind", "/etc", "/etc", "--"], "/etc/shadow can be seen"),
    "a writable root": (lambda a: [w for n, w in enumerate(a) if a[n : n + 2] != ["--remount-ro", "/"] and
                                   a[n - 1 : n + 1] != ["--remount-ro", "/"]], "/.probe can be written"),
    "no filter": (lambda a: [w for n, w in enumerate(a) if "--seccomp" not in a[n - 1 : n + 1]], "not filtered"),
    "the host's processes": (lambda a: [w for w in a if w != "--unshare-pid"], "can be seen"),
    "the host's /sys": (lambda a: ["--ro-bind", "/sys", "/sys", *a], "/sys can be seen"),
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_a_sandbox_that_leaks_is_not_used(
    bubblewrap: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    """The probe looks from inside, at what is really there."""
    change, found = LEAKS[leak]
    whole = bwrap.arguments
    monkeypatch.setattr(bwrap, "arguments", lambda *given: change(whole(*given)))
    refused = said(Bash(tmp_path / "w"), "touch ran")

    assert refused.startswith("No command was run: the sandbox does not hold: ")
    assert found in refused
    assert not (tmp_path / "w/ran").exists()


def test_the_probe_runs_once(bubblewrap: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first command."""
    probes = list[Path]()
    real = probe.check

    async def counted(workspace: Path, run: Any) -> None:
        probes.append(workspace)
        await real(workspace, run)

    monkeypatch.setattr(probe, "check", counted)
    box = Bash(tmp_path / "w")
    for _ in range(3):
        asyncio.run(box.run("true"))

    assert 1 == len(probes)


def test_the_filter_is_written_for_two_architectures() -> None:
    """Others are refused; programs are whole instructions, and jumps stay inside."""
    for machine in seccomp.ARCHITECTURES:
        for network, watched in itertools.product((False, True), repeat=2):
            steps = seccomp.program(network=network, watched=watched, machine=machine)
            assert 0 == len(steps) % 8
            count = len(steps) // 8
            for place in range(count):
                jumps = steps[place * 8 + 2 : place * 8 + 4]
                assert place + 1 + max(jumps) < count or steps[place * 8] == 0x06
    with pytest.raises(SandboxError) as refused:
        seccomp.program(machine="riscv64")
    assert (
        "No command was run: the filter of system calls is written for x86_64 and aarch64, and this machine is "
        "riscv64. Run it on one of those, or ask for sandbox='none' and approve each call." == str(refused.value)
    )
