"""Hierarchical: layers of agents, each building on the results of the layers before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs

from cloudllm_core import Event, Hub, Mode, Outcome, Reply, hookimpl
from cloudllm_core.errors import SetupError, near_miss

__all__ = ["Hierarchical", "HierarchicalLayerFailed"]


@attrs.frozen(kw_only=True)
class HierarchicalLayerFailed(Event):
    """Nobody in a layer replied, so the layers after it have nothing to build on."""

    layer: int
    """Counted from 1."""

    layers: int
    agents: tuple[str, ...]


# Of a set of names the order would differ from process to process, so only sequences will do.
def _as_layers(layers: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    def is_list(value: Any) -> bool:
        return isinstance(value, Sequence) and not isinstance(value, (str, bytes))

    if not is_list(layers):
        raise TypeError(f"Hierarchical takes a list of layers such as [['ada', 'bob'], ['cy']], and not {layers!r}.")
    for number, layer in enumerate(layers, 1):
        if not is_list(layer) or not all(isinstance(name, str) for name in layer):
            raise TypeError(f"Layer {number} is {layer!r}: give a list of agents' names, such as ['ada', 'bob'].")
    return tuple(tuple(layer) for layer in layers)


def _can_be_led(_: object, __: object, layers: Sequence[Sequence[str]]) -> None:
    if not layers:
        raise ValueError("Hierarchical has no layers: give at least one, such as [['ada', 'bob'], ['cy']].")
    for number, layer in enumerate(layers, 1):
        if not layer:
            raise ValueError(f"Layer {number} is empty: name at least one agent, or leave the layer out.")
        if repeated := [name for name in layer if layer.count(name) > 1]:
            raise ValueError(f"Layer {number} names {repeated[0]!r} twice: an agent takes one turn in a layer.")


@attrs.frozen
class Hierarchical(Mode):
    """
    Layers of agents work one after the other; the agents of one layer work at the same time.

    Each agent knows the task and hears the results of all *layers* before its own. Complete when
    anybody in the last layer replied. A layer in which nobody replies ends the run, as failed.
    """

    name: ClassVar[str] = "hierarchical"
    layers: tuple[tuple[str, ...], ...] = attrs.field(converter=_as_layers, validator=_can_be_led)

    async def run(self, hub: Hub, prompt: str) -> Outcome:
        self.check_names(hub.agents)
        answer: str | None = None
        for layer in self.layers:
            async with hub.round() as number:
                replies = await self.one_layer(hub, prompt, number, layer)
            if not replies:
                return Outcome(complete=False, answer=answer, stop_reason="failed")
            answer = _as_answer(replies)
        return Outcome(complete=True, answer=answer)

    async def one_layer(self, hub: Hub, prompt: str, number: int, layer: Sequence[str]) -> list[Reply]:
        """The replies of layer *number* (from 1), in the order in which they arrived."""
        before = sum(len(earlier) for earlier in self.layers[: number - 1])
        turns = sum(len(each) for each in self.layers)
        replies: list[Reply] = []
        reason = f"hierarchical, layer {number}"
        async with hub.ask_all(layer, prompt, note=self.note(number), reason=reason) as arriving:
            async for reply in arriving:
                replies.append(reply)
                hub.progress(before + len(replies), turns)
        if not replies:
            hub.announce(HierarchicalLayerFailed(layer=number, layers=len(self.layers), agents=tuple(layer)))
        return replies

    def note(self, number: int) -> str:
        """What the agents of layer *number* (from 1) are told beside the task."""
        last = number == len(self.layers)
        return " ".join(
            [
                f"You work in layer {number} of {len(self.layers)}.",
                *(["Build on the results of the layers before, which you have heard."] if number > 1 else []),
                "What your layer replies is the answer." if last else "The next layer will build on your result.",
            ]
        )

    def check_names(self, agents: Sequence[str]) -> None:
        """Raises: SetupError: a layer names somebody who is not among *agents*."""
        for number, layer in enumerate(self.layers, 1):
            for name in layer:
                if name not in agents:
                    known, hint = ", ".join(agents), near_miss(name, list(agents))
                    raise SetupError(
                        f"Layer {number} names {name!r}, and no agent is called so (agents: {known}). {hint}".rstrip()
                    )


def _as_answer(replies: Sequence[Reply]) -> str:
    """One reply as it is; several each after its agent's name."""
    if len(replies) == 1:
        return replies[0].text
    return "\n\n".join(f"{reply.agent}: {reply.text}" for reply in replies)


@hookimpl
def cloudllm_register_mode() -> type[Hierarchical]:
    return Hierarchical
