"""`cloudllm models PROVIDER`: what an API lists, one a line."""

from __future__ import annotations

import json
from typing import ClassVar

import attrs
import pytest

from cloudllm_cli import models
from cloudllm_core import Completion, Provider, Request, hookimpl
from cloudllm_core.errors import AuthenticationFailed, SettingsError

CLOSED: list[str] = []


@attrs.define(eq=False)
class Aviary(Provider):
    """Lists birds, elsewhere others; nobody without a key gets in."""

    name: ClassVar[str] = "aviary"
    base_url: str | None = None
    api_key_env: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.base_url == "nowhere":
            raise SettingsError("base_url", "'nowhere'", "an address")

    async def complete(self, request: Request) -> Completion:
        raise NotImplementedError

    async def models(self) -> tuple[str, ...]:
        if self.base_url == "locked":
            raise AuthenticationFailed("there is no API key: AVIARY_KEY is not set", self.name, hint="Set AVIARY_KEY.")
        if self.api_key_env:
            return (f"finch by {self.api_key_env}",)
        return {None: ("emu", "wren/größe"), "empty": ()}.get(self.base_url, (f"owl of {self.base_url}",))

    async def aclose(self) -> None:
        CLOSED.append(self.base_url or "home")


class Birds:
    """A plugin with the provider, and the command."""

    __name__ = "birds"

    @hookimpl
    def cloudllm_register_provider(self) -> type[Provider]:
        return Aviary


@pytest.fixture
def ask(cloudllm, registry):
    registry.add(Birds())
    registry.add(models)
    return lambda *words: cloudllm("models", *words)


def test_models_are_listed_one_a_line(ask):
    """Each name stands alone on its line; a whole "provider:model" names its provider; the connection is closed."""
    CLOSED.clear()

    assert (0, "emu\nwren/größe\n", "") == attrs.astuple(ask("aviary"))
    assert "emu\nwren/größe\n" == ask("aviary:emu").out
    assert "owl of http://x\n" == ask("aviary", "--base-url", "http://x").out
    assert ["home", "home", "http://x"] == CLOSED


def test_the_key_may_be_in_another_variable(ask):
    """What a team file says as `api_key_env`."""
    assert "finch by MY_KEY\n" == ask("aviary", "--api-key-env", "MY_KEY").out


def test_models_as_json(ask):
    """`--json` gives a list, also an empty one."""
    assert ["emu", "wren/größe"] == json.loads(ask("aviary", "--json").out)
    assert [] == json.loads(ask("aviary", "--base-url", "empty", "--json").out)


def test_a_provider_that_lists_none_says_so(ask):
    """An empty list is said on standard error, and is no failure."""
    assert (0, "", "cloudllm: aviary lists no models.\n") == attrs.astuple(ask("aviary", "--base-url", "empty"))


def test_an_error_is_its_sentence(ask):
    """A missing key names its variable, a provider that cannot list says so (both status 1), and the door is closed."""
    CLOSED.clear()
    locked = ask("aviary", "--base-url", "locked")

    sentence = "cloudllm: aviary: there is no API key: AVIARY_KEY is not set. Set AVIARY_KEY.\n"
    assert (1, "", sentence) == attrs.astuple(locked)
    assert ["locked"] == CLOSED
    assert (1, "", "cloudllm: parrot: its API does not list models.\n") == attrs.astuple(ask("parrot"))


def test_what_is_set_up_wrongly_has_status_2(ask):
    """An unknown provider gets its near miss, a wrong setting its place."""
    unknown = ask("avairy")

    assert (2, "") == (unknown.status, unknown.out)
    assert unknown.err.startswith("cloudllm: No provider is called 'avairy' (installed: ")
    assert unknown.err.endswith("Did you mean 'aviary'?\n")
    assert (2, "cloudllm: aviary.base_url: found 'nowhere', expected an address.\n") == attrs.astuple(
        ask("aviary", "--base-url", "nowhere")
    )[::2]
