"""Secrets: values that nobody reads by accident."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from cloudllm_core import Secret

KEY = "canary-7f3a"


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format, lambda secret: f"{[secret]}", ascii])
def test_a_secret_does_not_print(show: object) -> None:
    """However it is turned into text, only its name is seen."""
    assert callable(show)
    assert KEY not in show(Secret(KEY, "ACME_API_KEY"))


def test_a_secret_is_called_by_its_name() -> None:
    """A reader of a log can tell which one it was."""
    assert ("Secret(ACME_API_KEY)", "Secret(...)") == (repr(Secret(KEY, "ACME_API_KEY")), repr(Secret(KEY)))


@pytest.mark.parametrize("write", [json.dumps, pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_written_down(write: object) -> None:
    """JSON and pickle refuse it, without saying it."""
    assert callable(write)
    with pytest.raises(TypeError) as caught:
        write(Secret(KEY, "ACME_API_KEY"))

    assert KEY not in str(caught.value)


def test_secrets_are_equal_by_value() -> None:
    """Whatever they are called; so one client serves one key."""
    assert Secret(KEY, "A") == Secret(KEY, "B")
    assert hash(Secret(KEY, "A")) == hash(Secret(KEY, "B"))
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY


def test_an_empty_secret_is_false() -> None:
    """An unset variable is no key."""
    assert (False, True, KEY) == (bool(Secret("")), bool(Secret(KEY)), Secret(KEY).reveal())
