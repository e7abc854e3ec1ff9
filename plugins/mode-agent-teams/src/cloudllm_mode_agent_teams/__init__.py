"""Agent teams: agents claim tasks from a pool that many processes may share."""

from cloudllm_core import hookimpl

from .events import (
    CompletionRefused,
    LeaseExpired,
    TaskClaimed,
    TaskCompleted,
    TaskFailed,
    TaskGivenUp,
    TaskReleased,
)
from .items import WorkItem
from .mode import AgentTeams, AnthropicAgentTeams
from .pool import Claim, Pool, PoolError, View
from .rules import Task

__all__ = [
    "AgentTeams",
    "AnthropicAgentTeams",
    "Claim",
    "CompletionRefused",
    "LeaseExpired",
    "Pool",
    "PoolError",
    "Task",
    "TaskClaimed",
    "TaskCompleted",
    "TaskFailed",
    "TaskGivenUp",
    "TaskReleased",
    "View",
    "WorkItem",
]


@hookimpl
def cloudllm_register_mode() -> type[AnthropicAgentTeams]:
    return AnthropicAgentTeams
