"""What a model reads when a request did not come to an answer."""

from __future__ import annotations

import re

import attrs

from cloudllm_core.errors import CloudLLMError

_BEGINNING = re.compile(r"([^:/?#\s]{0,20}:)?(?://([^/?#\\\s]*))?")


def shown(url: str) -> str:
    """Where *url* leads, fit for logs: without path, query and user, which may hold secrets."""
    found = _BEGINNING.match(url)
    scheme, host = found.groups() if found else (None, None)
    text = (scheme or "") + ("//" + host.rpartition("@")[2] if host is not None else "...")
    return text if len(text) <= 100 else text[:97] + "..."


@attrs.define(eq=False)
class HttpError(CloudLLMError):
    """A request was refused or failed; the sentence is written for the model that asked."""

    url: str = attrs.field(converter=shown)
    """Scheme, host and port only."""

    problem: str
    remedy: str
    own_words: bool = attrs.field(default=True, init=False, repr=False)
    """Whether no server has had a say in where the request went, so that reading this exposes nobody."""

    says = "{self.url!r} {self.problem}. {self.remedy}"


class Refused(HttpError):
    """The rules do not let the request go there."""
