"""What a setting may be: judged before anything is sent, and never shown where it may be a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudllm_core import Secret
from cloudllm_core.errors import SettingsError


def key_secret(value: Secret | str | None) -> Secret | None:
    """The setting ``api_key``, whoever wrote it."""
    return None if value is None else _secret("api_key", value, "api_key")


def header_secrets(value: Mapping[str, Secret | str] | None) -> dict[str, Secret]:
    """
    The setting ``headers``; each value may be a secret.

    Raises:
        SettingsError: one is no text, or cannot be sent.
    """
    found = {name: _secret(f"headers.{name!a}", each, name) for name, each in (value or {}).items()}
    for name, secret in found.items():
        if not (sendable(name) and sendable(secret.reveal())):
            raise SettingsError(f"headers.{name!a}", "characters that no header can carry", "printable ASCII text")
    return found


def _secret(where: str, value: Secret | str, name: str) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):  # a team file may say anything; what it says may be a secret all the same
        raise SettingsError(where, f"a value of the type {type(value).__name__}", "text")
    return Secret(value, name)


def sendable(text: str) -> bool:
    """Whether a header can carry *text*."""
    return text.isascii() and text.isprintable()


def address(instance: Any, attribute: Any, value: str | None) -> None:
    """Raises: SettingsError: *value* is no address, or holds what might be a secret: it is shown in logs and errors."""
    if value is None:
        return
    if not value.startswith(("http://", "https://")):
        raise SettingsError("base_url", repr(value), "an address that begins with http:// or https://")
    if problem := holds_more(value):
        raise SettingsError("base_url", f"an address with {problem}", "one without", MORE)


MORE = "Put a key into api_key, and anything else into headers."


def holds_more(address: str) -> str | None:
    """What else than a place *address* holds."""
    place = address.partition("//")[2]
    if "@" in place.partition("/")[0]:
        return "a user's name or password"
    return "a query" if "?" in place or "#" in place else None


def seconds(instance: Any, attribute: Any, value: float) -> None:
    """Raises: SettingsError: *value* is no time to wait."""
    if not value > 0:
        raise SettingsError(attribute.name, repr(value), "a number of seconds above 0")
