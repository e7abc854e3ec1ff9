"""
Nineteen ways out of a sandbox, and a few more: none works.

Each probe is a small program that prints ESCAPED if it got out. Those that any process can do are run
outside the sandbox too, where they must succeed: a probe that never works would prove nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_tool_bash import Bash, Result

Python = Callable[..., Result]
PYTHON = os.path.realpath(sys.executable)

BEGIN = """
import ctypes, errno, os, socket, struct, sys
words = os.environ["WORDS"].split("\\n")
libc = ctypes.CDLL(None, use_errno=True)
intel = os.uname().machine == "x86_64"
def call(number, *args):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_void_p(a) if isinstance(a, int) else a for a in args))
    return errno.errorcode[ctypes.get_errno()] if result == -1 else "ESCAPED"
try:
    print(attempt())
except OSError as problem:
    print(errno.errorcode.get(problem.errno, problem.errno))
"""


def program(body: str) -> str:
    """A program that prints what *body* returns, or the name of the error that it raises."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return BEGIN.replace("try:", f"def attempt():\n{lines}\ntry:", 1)


def outside(source: str, *words: object) -> str:
    """What *source* prints without a sandbox."""
    environment = {**os.environ, "WORDS": "\n".join(map(str, words))}
    done = subprocess.run(
        [sys.executable, "-IS", "-c", source], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


# -- what the host has --


@attrs.frozen
class Host:
    """Things of the host that a command should not reach."""

    tcp: int
    udp: int
    unix: Path
    abstract: str
    secret: Path
    victim: subprocess.Popen[str]
    heard: list[str]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    secret = folder / "id_ed25519"
    secret.write_text("ESCAPED\n")
    name = f"cloudllm-probe-{os.getpid()}"
    heard = list[str]()
    kinds: list[tuple[int, int, Any]] = [
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        (socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "docker.sock")),
        (socket.AF_UNIX, socket.SOCK_STREAM, "\0" + name),
    ]
    sockets = [socket.socket(family, kind) for family, kind, _ in kinds]
    for each, (_, _, address) in zip(sockets, kinds, strict=True):
        each.bind(address)
    for each in (sockets[0], *sockets[2:]):
        each.listen()
    listener = threading.Thread(target=lambda: heard.append(sockets[1].recv(99).decode()))
    listener.start()
    victim = subprocess.Popen(
        ["/bin/sleep", "600"], env={"CANARY": "ESCAPED"}, stdin=subprocess.DEVNULL, text=True, start_new_session=True
    )
    tcp, udp = (each.getsockname()[1] for each in sockets[:2])
    yield Host(tcp, udp, folder / "docker.sock", name, secret, victim, heard)
    victim.kill()
    victim.wait()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b"end", ("127.0.0.1", udp))
    listener.join(10)
    for each in sockets:
        each.close()


REACHES = {
    "tcp": (
        "socket.create_connection(('127.0.0.1', int(words[0])), 2).close(); return 'ESCAPED'",
        lambda host: [host.tcp],
        "ECONNREFUSED",
    ),
    "unix-path": (
        "socket.socket(socket.AF_UNIX).connect(words[0]); return 'ESCAPED'",
        lambda host: [host.unix],
        "ENOENT",
    ),
    "unix-abstract": (
        "socket.socket(socket.AF_UNIX).connect('\\0' + words[0]); return 'ESCAPED'",
        lambda host: [host.abstract],
        "ECONNREFUSED",
    ),
    "key-of-home": ("return open(words[0]).read().strip()", lambda host: [host.secret], "ENOENT"),
    "environ-of-another": (
        "return 'ESCAPED' if 'ESCAPED' in open(f'/proc/{words[0]}/environ').read() else 'empty'",
        lambda host: [host.victim.pid],
        "ENOENT",
    ),
    "signal-another": ("os.kill(int(words[0]), 0); return 'ESCAPED'", lambda host: [host.victim.pid], "ESRCH"),
    "write-outside": (
        "open(words[0] + '.new', 'w').close(); os.remove(words[0] + '.new'); return 'ESCAPED'",
        lambda host: [host.secret],
        "ENOENT",
    ),
    "chmod-outside": ("os.chmod(words[0], 0o600); return 'ESCAPED'", lambda host: [host.secret], "ENOENT"),
}


@pytest.mark.parametrize("way", REACHES)
def test_what_is_the_hosts_is_not_reached(way: str, host: Host, python: Python) -> None:
    """F92, F93: though any process of the user reaches it."""
    body, words, refusal = REACHES[way]
    source = program(body.replace("; ", "\n"))

    assert "ESCAPED" == outside(source, *words(host))
    assert refusal == python(source, *words(host)).stdout.strip()


def test_no_datagram_reaches_the_host(host: Host, python: Python) -> None:
    """F95: UDP, and so DNS, ends inside; what was sent never arrives."""
    source = program("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                     "s.sendto(words[1].encode(), ('127.0.0.1', int(words[0])))\nreturn 'sent'")  # fmt: skip

    assert python(source, host.udp, "ESCAPED").stdout.strip() in ("sent", "EPERM", "ENETUNREACH")
    assert [] == host.heard
    out = program("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))\nreturn 'ESCAPED'")
    assert "ENETUNREACH" == python(out).stdout.strip()


ABSENT = ["/etc/shadow", "/root/.bashrc", "/home", "/sys", "/var", "/run", "/etc/hostname", "/boot", "/mnt", "/opt"]
SEALED = ["/usr/x", "/x", "/etc/x", "/dev/x", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname"]
MASKED = ["kcore", "kallsyms", "kmsg", "keys", "cmdline", "slabinfo", "timer_list"]

CALLS = {
    "mount": ("return call(165 if intel else 40, b'none', b'/tmp', b'tmpfs', 0, None)", "EPERM"),
    "umount": ("return call(166 if intel else 39, b'/tmp', 2)", "EPERM"),
    "pivot-root": ("return call(155 if intel else 41, b'/tmp', b'/tmp')", "EPERM"),
    "new-mount-api": ("return call(430, b'tmpfs', 0)", "EPERM"),
    "unshare-user": ("return call(272 if intel else 97, 0x10000000)", "EPERM"),
    "clone-user": ("return call(56 if intel else 220, 0x10000000 | 17, 0, 0, 0, 0)", "EPERM"),
    "clone3": ("return call(435, ctypes.create_string_buffer(64), 64)", "ENOSYS"),
    "setns": ("return call(308 if intel else 268, os.open('/proc/1/ns/mnt', os.O_RDONLY), 0)", "EPERM"),
    "raw-socket": ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\nreturn 'ESCAPED'", "EPERM"),
    "packet-socket": ("socket.socket(17, socket.SOCK_RAW, 0)\nreturn 'ESCAPED'", "EPERM"),
    "netlink": ("socket.socket(16, socket.SOCK_RAW, 0)\nreturn 'ESCAPED'", "EPERM"),
    "vsock": ("socket.socket(40, socket.SOCK_STREAM, 0)\nreturn 'ESCAPED'", "EPERM"),
    "io-uring": ("return call(425, 8, ctypes.create_string_buffer(240))", "EPERM"),
    "ptrace": ("return call(101 if intel else 117, 0, 0, 0, 0)", "EPERM"),
    "read-memory-of-another": ("return call(310 if intel else 270, 1, None, 0, None, 0, 0)", "EPERM"),
    "keyctl": ("return call(250 if intel else 219, 0, -3, 0)", "EPERM"),
    "add-key": ("return call(248 if intel else 217, b'user', b'x', b'y', 1, -3)", "EPERM"),
    "bpf": ("return call(321 if intel else 280, 0, ctypes.create_string_buffer(120), 120)", "EPERM"),
    "perf": ("return call(298 if intel else 241, ctypes.create_string_buffer(120), 0, -1, -1, 0)", "EPERM"),
    "userfaultfd": ("return call(323 if intel else 282, 1)", "EPERM"),
    "open-by-handle": ("return call(304 if intel else 265, -100, ctypes.create_string_buffer(64), 0)", "EPERM"),
    "kexec": ("return call(246 if intel else 104, 0, 0, None, 0)", "EPERM"),
    "module": ("return call(175 if intel else 105, None, 0, b'')", "EPERM"),
    "reboot": ("return call(169 if intel else 142, 0, 0, 0, None)", "EPERM"),
    "terminal-input": ("import fcntl\nfcntl.ioctl(1, 0x5412, b'x')\nreturn 'ESCAPED'", "EPERM"),
    "openat2": ("return call(437, -100, b'/tmp', ctypes.create_string_buffer(24), 24)", "ENOSYS"),
    "set-uid-file": ("open('s', 'w').close()\nos.chmod('s', 0o4755)\nreturn 'ESCAPED'", "EPERM"),
    "set-uid-at-birth": ("os.open('b', os.O_CREAT | os.O_WRONLY, 0o4755)\nreturn 'ESCAPED'", "EPERM"),
    "device": ("os.mknod('d', 0o020666, os.makedev(1, 3))\nreturn 'ESCAPED'", "EPERM"),
    "become-root": ("os.setuid(0)\nreturn 'ESCAPED'", "EINVAL"),
    "chroot": ("os.chroot('/tmp')\nreturn 'ESCAPED'", "EPERM"),
}


EACH = """
for name, body in bodies.items():
    child = os.fork()
    if child == 0:
        source = "def attempt():\\n" + "".join(f"    {line}\\n" for line in body.splitlines())
        exec(source, globals())
        try:
            said = attempt()
        except OSError as problem:
            said = errno.errorcode.get(problem.errno, problem.errno)
        print(name, said, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def answers(bubblewrap: None, shared: Bash) -> Callable[[str], str]:
    """What each way gave, all tried in one sandbox, each in a process of its own."""
    bodies = {way: body for way, (body, _) in CALLS.items()}
    bodies |= {f"see {path}": f"os.stat({path!r})\nreturn 'ESCAPED'" for path in ABSENT}
    bodies |= {f"write {path}": f"os.open({path!r}, os.O_WRONLY | os.O_CREAT)\nreturn 'ESCAPED'" for path in SEALED}
    bodies |= {f"read {name}": f"return os.read(os.open('/proc/{name}', 0), 99) and 'ESCAPED'" for name in MASKED}
    source = BEGIN.partition("try:")[0] + f"bodies = {bodies!r}\n" + EACH
    result = asyncio.run(shared.run(f'exec {PYTHON} -IS -c "$SOURCE"', environment={"SOURCE": source, "WORDS": ""}))
    found = dict(line.rsplit(" ", 1) for line in result.stdout.splitlines())
    return lambda way: found.get(way, f"no answer: {result.stderr}")


@pytest.mark.parametrize("way", CALLS)
def test_the_kernel_is_not_reached(answers: Callable[[str], str], way: str) -> None:
    """F94 and more: system calls that make namespaces, reach other processes or widen the kernel's surface."""
    assert CALLS[way][1] == answers(way)


@pytest.mark.parametrize("path", ABSENT)
def test_folders_of_the_system_are_not_there(answers: Callable[[str], str], path: str) -> None:
    """F92: nothing of ``/`` is there that was not put there."""
    assert "ENOENT" == answers(f"see {path}")


@pytest.mark.parametrize("path", SEALED)
def test_the_system_cannot_be_written(answers: Callable[[str], str], path: str) -> None:
    """Not even where the host's root, who is nobody inside, needs no right to."""
    assert answers(f"write {path}") == "EROFS" or (os.getuid() != 0 and answers(f"write {path}") == "EACCES")


@pytest.mark.parametrize("name", MASKED)
def test_what_proc_tells_of_the_host_is_masked(answers: Callable[[str], str], name: str) -> None:
    """It is there or not, but has no content."""
    assert answers(f"read {name}") in ("EACCES", "ENOENT")


def test_thirty_two_bit_calls_are_deadly(python: Python) -> None:
    """On x86-64 their numbers are others, so the filter could be passed by them: the process is killed."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86-64 has them")
    code = "b8 14 00 00 00 cd 80 c3"  # mov eax, 20 (getpid); int 0x80; ret
    body = f"""
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex('{code}'))
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
return 'ESCAPED'
"""
    result = python(program(body))

    assert (128 + 31, "") == (result.exit_code, result.stdout.strip())


def test_the_other_numbering_of_x86_64_is_absent(python: Python) -> None:
    """The x32 numbers reach the same calls by other names."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86-64 has it")
    assert (
        "ENOSYS" == python(program("return call(0x40000000 | 165, b'none', b'/tmp', b'tmpfs', 0, None)")).stdout.strip()
    )


def test_nothing_of_ours_is_open_inside(run: Callable[..., Result]) -> None:
    """F102: three streams, of which the first is empty; no descriptor leads out."""
    read = os.open("/", os.O_RDONLY)
    os.set_inheritable(read, True)
    try:
        result = run("for fd in /proc/self/fd/*; do echo ${fd##*/} $(readlink $fd | cut -d: -f1); done; cat")
    finally:
        os.close(read)

    assert {"0 /dev/null", "1 pipe", "2 pipe"} == {line for line in result.stdout.splitlines() if " " in line.strip()}


def test_commands_are_alone(run: Callable[..., Result]) -> None:
    """Another user, another host name, no terminal, no process but their own, no right at all."""
    result = run("id -u; hostname; ls -d /proc/[0-9]* | wc -l; grep -c 'CapEff.*0000000000000000' /proc/self/status; "
                 "{ : < /dev/tty; } 2>&1 | grep -o 'No such device'")  # fmt: skip

    user, name, processes, none, *rest = result.stdout.splitlines()
    assert ("65534", "sandbox", "1") == (user, name, none)
    assert int(processes) <= 4
    assert ["No such device"] == rest
