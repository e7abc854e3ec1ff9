"""How many tokens an answer may have, as each API is told."""

from __future__ import annotations

import pytest

from cloudllm_core import Message, Request
from cloudllm_provider_openai import OpenAI

AT_HOME, ELSEWHERE = {}, {"base_url": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    ("api", "where", "field"),
    [
        ("responses", AT_HOME, "max_output_tokens"),
        ("chat", AT_HOME, "max_completion_tokens"),
        ("chat", ELSEWHERE, "max_tokens"),
    ],
)
@pytest.mark.parametrize(("option", "most", "sent"), [(None, 50, 50), (20, 50, 20), (90, 50, 50), (90, None, 90)])
def test_an_answer_has_no_more_tokens_than_the_request_allows(monkeypatch, api, where, field, option, most, sent):
    """The run's share is a cap on whatever the options say."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    options = {} if option is None else {"max_tokens": option}
    asked = Request(model="gpt-x", instructions="", messages=(Message.user("x"),), options=options, max_output=most)
    body = OpenAI(**where).body(asked, api, False, False)

    assert {field: sent} == {name: value for name, value in body.items() if name.startswith("max_")}


def test_without_a_cap_none_is_sent():
    """The server's own default counts."""
    asked = Request(model="gpt-x", instructions="", messages=(Message.user("x"),))

    assert [] == [name for name in OpenAI().body(asked, "responses", False, False) if name.startswith("max_")]
