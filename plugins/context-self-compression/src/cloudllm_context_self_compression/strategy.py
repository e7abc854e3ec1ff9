"""When to compress, where to cut, and what to go on from."""

from __future__ import annotations

from typing import ClassVar

import attrs

from cloudllm_core import ContextStrategy, ContextView, Cut, Desk, ThoughtType
from cloudllm_core.errors import EffectError, RunError

from .save import HEADED, PROMPT, parse_refs, question


def _share(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name!r} ({value}) must be from 0 to 1")


def _said(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value.strip():
        raise ValueError(f"{attribute.name!r} is blank; it is what the model is asked")


@attrs.frozen
class SelfCompression(ContextStrategy):
    """
    Has the model write a save of what it is about to lose, and goes on from that.

    The threshold, the parts of a save and its references are those of the original's strategy of this name.

    Args:
        threshold: a request that fills more than this share of the budget is compressed.
        keep: at most so many of the newest whole turns stay word for word.
        target: the share of the budget within which the request must be for them to stay.
        prompt: what the model is asked.
    """

    name: ClassVar[str] = "self-compression"

    threshold: float = attrs.field(default=0.8, validator=_share)
    keep: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    target: float = attrs.field(default=0.5, validator=_share)
    prompt: str = attrs.field(default=PROMPT, validator=_said)

    def choose(self, view: ContextView) -> Cut | None:
        """The cut that leaves the turn under way and, as far as they fit, *keep* turns before it."""
        cuts = [cut for cut in view.cuts if cut.tokens_after < view.tokens]
        if not cuts or not (view.pressed or view.load > self.threshold):
            return None
        few = [cut for cut in cuts if cut.turns_kept <= self.keep + 1]
        room = self.target * (min(view.tokens, view.budget) if view.pressed else view.budget)
        return next((cut for cut in few if cut.tokens_after <= room), cuts[-1])

    async def summarise(self, view: ContextView, cut: Cut, desk: Desk) -> str:
        """
        The save: as the agent's newest thought with all it builds on, or by itself.

        Raises:
            RunError: the model could not be asked, or wrote nothing.
        """
        save = (await desk.ask(question(self.prompt, desk.thoughts))).strip()
        if not save:
            raise RunError("The model was asked for a save of the session and wrote nothing.")
        room = min(view.tokens, view.budget) - cut.tokens_after
        try:
            restored = await desk.commit(ThoughtType.COMPRESSION, save, parse_refs(save))
        except EffectError as problem:  # the save itself is too dear to be lost with its copy
            return HEADED.format(save=f"{save}\n\n(It could not be added to your thoughts: {problem})")
        # a thought may build on a long history of others, which would fill the session again
        if restored is not None and len(restored.encode(errors="replace")) // 4 < room:
            return restored
        return HEADED.format(save=save)
