"""Moderated: a moderator chooses which expert speaks, round by round, and sums up."""

from cloudllm_core import hookimpl

from .mode import Moderated, SpeakerChosen

__all__ = ["Moderated", "SpeakerChosen"]


@hookimpl
def cloudllm_register_mode() -> type[Moderated]:
    return Moderated
