"""
The shell in which commands judge: a tool protocol with the tool ``bash``, used unattended.

The command is the user's. The evidence is a model's text: it reaches the command as the value of a variable,
quoted, so that nothing of it is ever run.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import attrs

from cloudllm_core import ToolContext, ToolDefinition, ToolProtocol

from .tasks import Check

TOOL = "bash"
UNATTENDED = frozenset({"files"})
"""What a shell may need, and still be used without anybody looking: its own workspace."""

FEEDBACK = 4_000
"""Characters of a command's output that its feedback quotes: the last ones."""

MOST_EVIDENCE = 10_000
"""Characters of evidence that a command gets: a command line holds no more of them, if all must be quoted."""


@attrs.frozen
class Shell:
    """How *protocol* runs a command: by the call of *tool*."""

    protocol: ToolProtocol
    tool: ToolDefinition

    @classmethod
    def of(cls, protocol: object) -> Shell:
        """
        The shell that *protocol* has.

        Raises:
            TypeError: it is no tool protocol. ValueError: it has no shell, or none that may be used unattended.
        """
        if not isinstance(protocol, ToolProtocol):
            raise TypeError(
                f"Ralph's shell is {protocol!r}, and must be a tool protocol, such as Bash('out'). "
                "A name, or a table with one, will do in a team file."
            )
        tools = {tool.name: tool for tool in protocol.tools()}
        tool = tools.get(TOOL)
        if tool is None or not {"command"}.issuperset(tool.parameters.get("required", ())):
            known = ", ".join(tools) or "none"
            raise ValueError(
                f"Ralph's shell must have a tool {TOOL!r} that takes a command, and {protocol.name!r} has none. "
                f"Its tools: {known}."
            )
        if wants := unfit(tool):
            raise ValueError(
                f"Checks are run unattended, whatever an agent has read, so their shell may reach nothing but its "
                f"workspace, and that of {protocol.name!r} {' and '.join(wants)}. "
                "Give one in a sandbox, without a network; or, in Python, a function as the check."
            )
        return cls(protocol, tool)

    def check(self, command: str, agent: str, run_id: str, nth: int) -> Check:
        """
        A check that lets *command* judge what *agent* claims: exit code 0 accepts.

        Args:
            command: for bash; the task's id and the evidence are ``$TASK_ID`` and ``$EVIDENCE``.
            agent, run_id: who claims, and in which run.
            nth: which judgement of the run this is; the same for the same one on a replay.
        """

        async def judge(id: str, evidence: str) -> bool | str:
            context = ToolContext(
                agent=agent,
                run_id=run_id,
                call_id=f"check-{nth}",
                key=f"{run_id}/check:{id}/{nth}",
                deadline=float("inf"),  # the hub ends it
            )
            arguments = {"command": script(command, id, evidence)}
            return verdict(command, await self.protocol.call(self.tool.name, arguments, context))

        return judge


def fits(mode: Any, _: object, shell: ToolProtocol | None) -> None:
    """Raises: TypeError, ValueError: a task's check is a command, and there is no shell for it; as `Shell.of`."""
    if shell is not None:
        Shell.of(shell)
        return
    for task in mode.tasks:
        if isinstance(task.check, str):
            raise ValueError(
                f"The check of task {task.id!r} is a command, {task.check!r}, and Ralph has no shell to run it in. "
                'Give one: shell = "bash" in a team file, shell=Bash("out") in Python '
                "(pip install cloudllm-tool-bash)."
            )


def unfit(tool: ToolDefinition) -> list[str]:
    """What keeps *tool* from being used unattended; a check comes by no approver and by no policy."""
    needs = [need for need in tool.needs if need not in UNATTENDED]
    return [
        *(["asks a person to allow each call"] if tool.approve else []),
        *([f"needs {', '.join(needs)}"] if needs else []),
        *(["brings in text from outside"] if tool.untrusted else []),
    ]


def script(command: str, id: str, evidence: str) -> str:
    """*command* behind the variables that it may use, and what it starts, too."""
    values = {"TASK_ID": id, "EVIDENCE": evidence[:MOST_EVIDENCE]}
    variables = [f"{name}={shlex.quote(value.replace(chr(0), ''))}" for name, value in values.items()]
    return f"export {' '.join(variables)}\n{command}"


def verdict(command: str, result: Any) -> bool | str:
    """What the *result* of running *command* says."""
    said = result if isinstance(result, Mapping) else {}
    code = said.get("exit_code")
    if type(code) is not int:
        return f"The check could not be run: its shell gave no exit code, but {str(result)[:FEEDBACK]!r}."
    if code == 0:
        return True
    output = "\n".join(filter(None, (str(said.get(part) or "").strip() for part in ("stdout", "stderr", "notice"))))
    return f"{command!r} gave exit code {code}.\n{output[-FEEDBACK:]}".strip()
