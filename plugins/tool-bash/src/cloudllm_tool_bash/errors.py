"""What can be wrong with a sandbox, or with a command."""

from __future__ import annotations

import attrs

from cloudllm_core.errors import CloudLLMError


@attrs.define(eq=False)
class SandboxError(CloudLLMError):
    """The sandbox cannot be had as it was asked for; nothing was run."""

    problem: str
    remedy: str
    says = "No command was run: {self.problem}. {self.remedy}"


@attrs.define(eq=False)
class CommandRefusedError(CloudLLMError):
    """The allow or deny list refuses a command; it was not run."""

    problem: str
    remedy: str
    says = "The command was not run: {self.problem}. {self.remedy}"
