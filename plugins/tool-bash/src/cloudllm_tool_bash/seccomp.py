"""
The system calls that a sandboxed command may not make, as a program for the kernel's filter.

The format is classic BPF over ``struct seccomp_data`` (linux/seccomp.h, linux/filter.h). A call that is
not named here is allowed: namespaces and missing capabilities hold; the filter takes away what could
widen the kernel's surface, or reach around them.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable

from .errors import SandboxError

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What the kernel calls a machine (AUDIT_ARCH in linux/audit.h)."""

DENIED: dict[str, tuple[int | None, int | None]] = {
    # name: number on x86_64, number on aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "unshare": (272, 97), "setns": (308, 268),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "lookup_dcookie": (212, 18),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "syslog": (103, 116), "vhangup": (153, 58), "nfsservctl": (180, 42), "uselib": (134, None),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip
"""Refused with EPERM."""

ABSENT = {"clone3": (435, 435), "openat2": (437, 437)}
"""
Refused with ENOSYS, so that callers turn to ``clone`` and ``openat``, whose arguments a filter can see:
theirs are in memory.
"""

UNCOUNTED = {"memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194)}
"""Memory that belongs to no process: refused with ENOSYS where it is processes whose memory is added up."""

MODES = {
    "chmod": ((90, 1), None), "fchmod": ((91, 1), (52, 1)), "fchmodat": ((268, 2), (53, 2)),
    "fchmodat2": ((452, 2), (452, 2)), "open": ((2, 2), None), "creat": ((85, 1), None), "openat": ((257, 3), (56, 3)),
    "mknod": ((133, 1), None), "mknodat": ((259, 2), (33, 2)),
}  # fmt: skip
"""Calls that give a file its mode: number and argument. A set-uid file in the workspace would outlive the sandbox."""

NAMESPACES = 0x7E020000
"""The flags of clone that make namespaces: mount, cgroup, uts, ipc, user, pid, net."""

SET_ID = 0o6000
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
"""Put words into the terminal of whoever started us."""

UNIX, INET, INET6 = 1, 2, 10
DATAGRAM = 0b10
"""Set in the types of sockets that send to whomever they like (SOCK_DGRAM, SOCK_RAW), of others not."""

_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000


def _step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, k)


def _refuse(number: int, error: int = errno.EPERM) -> bytes:
    return _step(_EQUAL, number, 0, 1) + _step(_RETURN, _ERRNO | error)


def _refuse_bits(number: int, argument: int, bits: int) -> bytes:
    """Refuse the call if the low half of *argument* has any of *bits*."""
    body = [_step(_LOAD, _ARGUMENTS + 8 * argument), _step(_ANY_BIT, bits, 0, 1), _step(_RETURN, _ERRNO | errno.EPERM)]
    return b"".join([_step(_EQUAL, number, 0, len(body) + 1), *body, _step(_LOAD, _NUMBER)])


def _judge(number: int, argument: int, values: Iterable[int], hit: int, miss: int) -> bytes:
    """Return *hit* where the low half of *argument* is one of *values*, else *miss*."""
    tests = [_step(_EQUAL, value, yes, 0) for yes, value in reversed(list(enumerate(values, 1)))]
    body = [_step(_LOAD, _ARGUMENTS + 8 * argument), *tests, _step(_RETURN, miss), _step(_RETURN, hit)]
    return _step(_EQUAL, number, 0, len(body)) + b"".join(body)


def program(*, network: bool = False, watched: bool = False, machine: str | None = None) -> bytes:
    """
    The filter for bubblewrap's ``--seccomp``.

    Args:
        network: whether the command shares the host's network. Then it may not make UNIX sockets, by
            which it would reach the host's abstract ones; nor pairs of them that could be turned to others.
        watched: whether memory is limited by watching processes, so that there may be none beside theirs.
        machine: as ``platform.machine()`` has it; this one's if not given.

    Raises:
        SandboxError: the numbers of this machine's calls are not known here.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        known = " and ".join(ARCHITECTURES)
        problem = f"the filter of system calls is written for {known}, and this machine is {machine or 'unknown'}"
        raise SandboxError(problem, "Run it on one of those, or ask for sandbox='none' and approve each call.")
    column = list(ARCHITECTURES).index(machine)
    no, intel = _ERRNO | errno.EPERM, machine == "x86_64"
    pair = 53 if intel else 199  # socketpair
    families = (INET, INET6) if network else (UNIX, INET, INET6)
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, ARCHITECTURES[machine], 1, 0),
        _step(_RETURN, _KILL),  # 32-bit calls have other numbers
        _step(_LOAD, _NUMBER),
        *([_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _ERRNO | errno.ENOSYS)] if intel else []),
        *(_refuse(number) for numbers in DENIED.values() if (number := numbers[column]) is not None),
        *(_refuse(numbers[column], errno.ENOSYS) for numbers in (ABSENT | (UNCOUNTED if watched else {})).values()),
        _refuse_bits(56 if intel else 220, 0, NAMESPACES),  # clone
        *([_refuse_bits(pair, 1, DATAGRAM)] if network else []),
        *(_refuse_bits(*found, SET_ID) for mode in MODES.values() if (found := mode[column])),
        _judge(16 if intel else 29, 1, [TIOCSTI, TIOCLINUX], no, _ALLOW),  # ioctl
        _judge(41 if intel else 198, 0, families, _ALLOW, no),  # socket
        _judge(pair, 0, [UNIX], _ALLOW, no),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)
