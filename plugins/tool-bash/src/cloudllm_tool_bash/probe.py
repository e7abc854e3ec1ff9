"""
Whether the sandbox holds: found out by running it whole, once, and told with the remedy.

The probe is a script that looks at the sandbox from inside, by means of bash alone. It prints what is
not as it must be; silence means that all of it holds.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from .errors import SandboxError
from .process import Result

SECONDS = 10.0

REFUSALS = "Ask for sandbox='none' only where a person approves each command."
INSTALL = "Install bubblewrap: apt-get install bubblewrap, dnf install bubblewrap, or pacman -S bubblewrap."

SCRIPT = """
[ "$UID" = 65534 ] || echo "commands run as user $UID"
[ -e /etc/shadow ] && echo "/etc/shadow can be seen"
[ -e /sys ] && echo "/sys can be seen"
for file in /usr/.probe /.probe /etc/.probe /dev/.probe /proc/sys/kernel/core_pattern; do
  { : >> "$file"; } 2>/dev/null && echo "$file can be written"
done
while read -r key value; do case "$key $value" in
  "NoNewPrivs: 0") echo "privileges can be gained";;
  "Seccomp: 2") filtered=yes;;
  "CapEff: 0000000000000000"|"CapBnd: 0000000000000000") dropped+=x;;
  "NSpid: "*) [[ $value == *[!0-9]* || $value -gt 9 ]] && echo "processes of the host can be seen";;
esac; done < /proc/self/status
[ "$filtered" = yes ] || echo "system calls are not filtered"
[ "$dropped" = xx ] || echo "capabilities are left"
for folder in /proc/[0-9]*; do [ "${folder#/proc/}" -gt 9 ] && echo "process ${folder#/proc/} can be seen"; done
[ -w . ] || echo "the workspace cannot be written"
exit 0
"""


def program(workspace: Path) -> str:
    """
    Where bubblewrap is.

    Raises:
        SandboxError: there is none, or an agent could have put it there.
    """
    if not sys.platform.startswith("linux"):
        problem = f"the sandbox is made by bubblewrap, which needs Linux, and this is {sys.platform}"
        raise SandboxError(problem, f"Run it in a Linux machine or container. {REFUSALS}")
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxError("bubblewrap (bwrap) is not installed", f"{INSTALL} {REFUSALS}")
    if Path(found).resolve().is_relative_to(workspace.resolve()):
        raise SandboxError(f"bubblewrap was found in the workspace ({found})", "Take the workspace out of PATH.")
    return found


async def check(workspace: Path, run: Callable[[str], Awaitable[Result]]) -> None:
    """
    Run the probe with *run*.

    Raises:
        SandboxError: what is missing or open, and how to mend it.
    """
    program(workspace)
    try:
        result = await run(SCRIPT)
    except SandboxError as problem:
        raise SandboxError(problem.problem, remedy(problem.problem) or problem.remedy) from None
    if result.exit_code or result.stdout or result.notice:
        found = "; ".join((result.stdout + result.stderr + result.notice).splitlines()) or f"exit {result.exit_code}"
        raise SandboxError(f"the sandbox does not hold: {found}", remedy(found) or f"This is a fault. {REFUSALS}")


FORBIDDING = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        (
            "AppArmor forbids namespaces to it. Install a profile that lets bwrap have them (bwrap-userns-restrict of "
            "the package apparmor-profiles), or set kernel.apparmor_restrict_unprivileged_userns to 0 with sysctl."
        ),
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "Namespaces are for root alone. Set kernel.unprivileged_userns_clone to 1 with sysctl.",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "No namespaces are allowed. Set user.max_user_namespaces to 10000 with sysctl.",
    ),
)
"""Settings of the kernel, the value that forbids, and what to do."""


def remedy(problem: str) -> str:
    """What mends *problem*, as bubblewrap or the shell words it."""
    lowered = problem.lower()
    if "unknown option" in lowered:
        return "bubblewrap is older than 0.8; install a newer one."
    if "seccomp" in lowered or "prctl" in lowered:
        return "The kernel refuses the filter of system calls; it needs CONFIG_SECCOMP_FILTER."
    if "fork" in lowered and "resource" in lowered:
        return "Kernels before 5.14 count all your processes against the limit; raise it with processes=."
    if any(word in lowered for word in ("namespace", "uid map", "rtm_newaddr", "operation not permitted")):
        return _of_namespaces()
    return ""


def _of_namespaces() -> str:
    for path, bad, cure in FORBIDDING:
        if os.path.exists(path) and Path(path).read_text("utf-8").strip() == bad:
            return cure
    return (
        "The kernel refuses namespaces, as it does inside most containers. Run the container with namespaces allowed "
        f"(docker run --security-opt seccomp=unconfined), or run outside of it. {REFUSALS}"
    )
