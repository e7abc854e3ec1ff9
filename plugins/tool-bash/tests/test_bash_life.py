"""How commands end: whatever they do, nothing of them is left when the call returns."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from cloudllm_tool_bash import Bash, Result, SandboxError, limits
from cloudllm_tool_bash.limits import Group, Limits

Run = Callable[..., Result]

PYTHON = os.path.realpath(sys.executable)
NUMBERS = itertools.count(os.getpid() * 1000)


@pytest.fixture
def mark() -> str:
    """Seconds to sleep, as nobody else sleeps."""
    return f"600.{next(NUMBERS)}"


def living(mark: str) -> list[str]:
    """The command lines on this machine that hold *mark*."""
    found = list[str]()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if mark in line:
                found.append(line)
    return found


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def groups() -> list[str]:
    """This program's control groups."""
    own = f"cloudllm-{os.getpid()}-"
    return [name for _, folders, _ in os.walk("/sys/fs/cgroup") for name in folders if name.startswith(own)]


# -- ordinary ends --


def test_a_command_gives_its_streams_and_its_exit_code(run: Run) -> None:
    """A failing command is a result, too."""
    result = run("echo out; echo err >&2; exit 3")

    assert (3, "out\n", "err\n", "") == (result.exit_code, result.stdout, result.stderr, result.notice)
    assert result.duration_ms >= 0
    assert {"exit_code", "duration_ms", "stdout", "stderr"} == set(result.to_json())


@pytest.mark.parametrize(
    ("command", "code"), [("kill -9 $$", 137), ("kill -TERM $$", 143), ("no-such-program", 127), ("exit 255", 255)]
)
def test_exit_codes_are_the_shells(run: Run, command: str, code: int) -> None:
    """Signals as 128 and their number."""
    assert code == run(command).exit_code


def test_files_of_the_workspace_are_kept_and_nothing_else(run: Run, box: Bash) -> None:
    """The workspace is the current directory, at its own path; /tmp is empty each time."""
    assert (
        f"{box.workspace.resolve()}\n" == run("mkdir -p d; echo text > d/kept.txt; echo text > /tmp/gone; pwd").stdout
    )
    assert "text\n" == (box.workspace / "d/kept.txt").read_text()
    assert (1, "text\n") == ((result := run("cat d/kept.txt; cat /tmp/gone 2>/dev/null")).exit_code, result.stdout)


def test_input_is_empty(run: Run) -> None:
    """F102: a command that reads does not wait."""
    assert (0, "", "") == ((result := run("cat; read -r line; echo -n $line")).exit_code, result.stdout, result.notice)


# -- ends by force --


def test_a_command_is_killed_when_its_time_is_over(run: Run, mark: str) -> None:
    """With what it had written so far, and with all it started, however it hides."""
    result = run(f"echo begun; trap '' TERM INT HUP; (setsid nohup sleep {mark} &) ; sleep {mark}", timeout=0.3)

    assert (124, "begun\n") == (result.exit_code, result.stdout)
    assert "Stopped: it was not done after 0.3 seconds." == result.notice
    assert [] == living(mark)


@pytest.mark.parametrize(
    "hiding",
    [
        "(sleep {} &)",
        "setsid nohup sleep {} > /dev/null 2>&1 < /dev/null & disown",
        "(setsid bash -c '(setsid sleep {} &) &' &)",
        "exec 1>&- 2>&-; sleep {} &",
    ],
)
def test_background_processes_die_with_the_command(run: Run, mark: str, hiding: str) -> None:
    """F99, F100: the call returns when the shell ends, not when they do, and they are dead."""
    result = run(hiding.format(mark))

    assert (0, "") == (result.exit_code, result.notice)
    assert [] == living(mark)


def test_a_flood_is_stopped_and_its_end_kept(box: Bash, mark: str) -> None:
    """F101: a command that writes without end is killed; the result says how much is not shown."""
    small = attrs.evolve(box, max_output=100_000, tail=1_000)
    result = asyncio.run(small.run(f"sleep {mark} & yes"))

    assert (137, "Stopped: it wrote more than 100,000 bytes.") == (result.exit_code, result.notice)
    first, *rest = result.stdout.splitlines()
    assert first.endswith("bytes before this were cut]")
    assert {"y"} == set(rest)
    assert len(result.stdout) <= 1_100
    assert [] == living(mark)


def test_a_flood_on_the_other_stream_is_stopped_too(box: Bash) -> None:
    """Though the first is silent."""
    result = asyncio.run(attrs.evolve(box, max_output=100_000).run("yes >&2"))

    assert "Stopped: it wrote more than 100,000 bytes." == result.notice


@pytest.mark.parametrize("moment", range(14))
def test_cancelling_kills_first_and_propagates_then(box: Bash, mark: str, moment: int) -> None:
    """At any moment of a call: nothing lives, no task, descriptor or control group is left."""
    before = open_files(), groups()

    async def main() -> set[asyncio.Task[object]]:
        await box.prove()
        task = asyncio.ensure_future(box.run(f"sleep {mark} & sleep {mark}"))
        await asyncio.sleep(moment * 0.004)
        task.cancel()
        if moment % 2:
            await asyncio.sleep(0)
            task.cancel()  # twice, as somebody impatient does
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [] == living(mark)
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

    assert set() == asyncio.run(main())
    assert before == (open_files(), groups())


def test_the_sandbox_dies_with_its_parent(box: Bash, mark: str) -> None:
    """A killed program leaves no command behind."""
    source = (
        "import asyncio, sys\nfrom cloudllm_tool_bash import Bash\n"
        f"asyncio.run(Bash(sys.argv[1]).run('echo > begun; sleep {mark} & sleep {mark}'))"
    )
    begun = box.workspace / "begun"
    begun.unlink(missing_ok=True)
    program = subprocess.Popen([sys.executable, "-c", source, str(box.workspace)])

    async def until(done: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not done():  # noqa: ASYNC110  # another program's doing
                await asyncio.sleep(0.01)

    try:
        asyncio.run(until(begun.exists))
        assert living(mark)
    finally:
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    asyncio.run(until(lambda: not living(mark)))


def test_many_at_once_do_not_mix(box: Bash) -> None:
    """Each has its own streams and its own end."""

    async def main() -> list[Result]:
        return list(await asyncio.gather(*(box.run(f"echo {n}; exit {n}") for n in range(8))))

    assert [(n, f"{n}\n") for n in range(8)] == [(each.exit_code, each.stdout) for each in asyncio.run(main())]


# -- limits --


FORKS = """
import os, time
made = 0
while made < 200:
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
    except BlockingIOError:
        break
print(made)
"""


def test_a_fork_bomb_stays_small(box: Bash, mark: str) -> None:
    """F96: for root too, whom the kernel exempts from its own limit."""
    small = attrs.evolve(box, processes=20)
    counted = asyncio.run(small.run(f"exec {PYTHON} -IS -c '{FORKS}'"))
    bomb = asyncio.run(small.run(f"f() {{ sleep {mark} & f | f & }}; f; sleep {mark}", timeout=0.5))

    assert 10 < int(counted.stdout) < 20
    assert "Stopped: it was not done after 0.5 seconds." == bomb.notice
    assert [] == living(mark)


HOGS = """
import os, time
for n in range(8):
    if os.fork() == 0:
        held = bytearray(60_000_000)
        time.sleep(SECONDS)
        os._exit(0)
print([os.wait()[1] for n in range(8)])
"""


def test_memory_is_limited_for_all_together(box: Bash) -> None:
    """F97: eight processes, each within the limit, are not; whether a control group holds them, or a watch."""
    small = attrs.evolve(box, memory=150_000_000)
    result = asyncio.run(small.run(f"exec {PYTHON} -IS -c '{HOGS}'".replace("SECONDS", "1")))

    assert "150,000,000 bytes of memory." in result.notice
    assert "[0, 0, 0, 0, 0, 0, 0, 0]" not in result.stdout


def test_memory_is_watched_where_there_is_no_control_group(box: Bash, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for most people who are not root."""
    monkeypatch.setattr(Group, "make", lambda limits: Group((), frozenset()))
    small = attrs.evolve(box, memory=150_000_000, processes=None)
    result = asyncio.run(small.run(f"exec {PYTHON} -IS -c '{HOGS}'".replace("SECONDS", "15")))

    assert (137, "Stopped: it held more than 150,000,000 bytes of memory.") == (result.exit_code, result.notice)


def test_memory_of_no_process_is_not_to_be_had_where_processes_are_watched(
    box: Bash, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and segments in memory would not be counted; a control group counts them, so there they may be made."""
    source = "import os; os.write(os.memfd_create('x'), bytes(1000)); print('made')"
    assert "made\n" == asyncio.run(box.run(f'exec {PYTHON} -IS -c "{source}"')).stdout

    monkeypatch.setattr(Group, "make", lambda limits: Group((), frozenset()))
    watched = attrs.evolve(box, processes=None)
    segment = "import ctypes; print(ctypes.CDLL(None).shmget(0, 4096, 0o600))"
    assert "not implemented" in asyncio.run(watched.run(f'exec {PYTHON} -IS -c "{source}"')).stderr
    assert "-1\n" == asyncio.run(watched.run(f'exec {PYTHON} -IS -c "{segment}"')).stdout


def test_root_without_a_control_group_is_refused(box: Bash, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than run without the limit that was asked for."""
    monkeypatch.setattr(Group, "make", lambda limits: Group((), frozenset()))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(SandboxError) as refused:
        asyncio.run(box.run("true"))

    assert (
        "No command was run: the number of processes cannot be limited: root is exempt from ulimit, and no control "
        "group can be made. Run as an ordinary user, or make /sys/fs/cgroup writable, or give up this limit with "
        "processes=None." == str(refused.value)
    )


@pytest.mark.parametrize(
    ("own", "handed_down", "place"),
    [
        ("0::/a/b", "a/b", "a/b"),
        ("0::/a/b", "a", "a"),
        ("0::/a/b", "", None),
        ("3:cpu,memory:/a\n0::/", "", "memory/a"),
        ("0::/../x", "", None),
        ("", "", None),
    ],
)
def test_a_control_group_is_made_where_the_control_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, handed_down: str, place: str | None
) -> None:
    """Version 2 hands controls down, to this process's group or beside it; version 1 has a tree for each."""
    for name in ("a/b", "a", "memory/a"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "cgroup.subtree_control").write_text("cpu memory\n" if name == handed_down else "cpu\n")
    (tmp_path / "own").write_text(f"{own}\n" if own else "")
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "OWN", tmp_path / "own")

    assert ([] if place is None else [tmp_path / place]) == list(limits._parents("memory"))


def test_groups_of_killed_programs_are_removed(box: Bash) -> None:
    """By the next sandbox of anybody."""
    group = Group.make(Limits(memory=10**9, processes=100, cpu=None, file_size=None))
    stale = [folder.with_name("cloudllm-999999999-dead") for folder in group.folders]
    for folder in stale:
        folder.mkdir()
    asyncio.run(group.remove())
    asyncio.run(attrs.evolve(box).run("true"))

    assert [] == [folder for folder in (*stale, *group.folders) if folder.exists()]


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_temporary_files_are_limited_together(box: Bash, place: str) -> None:
    """F98: many files, each small, do not fill the memory of the machine."""
    small = attrs.evolve(box, scratch=1_000_000)
    fill = f"for n in 1 2 3 4; do head -c 400000 /dev/zero > {place}/$n || echo full; done"

    assert "full\nfull\n" == asyncio.run(small.run(fill)).stdout


def test_each_file_is_limited(box: Bash) -> None:
    """F98: in the workspace."""
    small = attrs.evolve(box, file_size=100_000)
    result = asyncio.run(small.run("head -c 400000 /dev/zero > big; stat -c %s big; rm big"))

    assert int(result.stdout) <= 102_400


def test_processor_time_is_limited(box: Bash) -> None:
    """A loop is killed by it, long before its time on the clock."""
    assert 137 == asyncio.run(attrs.evolve(box, cpu=1).run("while :; do :; done")).exit_code


def test_limits_cannot_be_raised(run: Run) -> None:
    """They are set for good before the command begins."""
    assert 1 == run("ulimit -c unlimited 2>/dev/null || ulimit -n 4096").exit_code
    assert "0 1024\n" == run('echo "$(ulimit -c) $(ulimit -n)"').stdout


def test_no_limit_is_no_limit() -> None:
    """None leaves it to the system."""
    none = Limits(memory=None, processes=None, cpu=None, file_size=None)

    assert "ulimit -c 0 || exit 125; ulimit -n 1024 || exit 125; " == none.script(own_count=True)
