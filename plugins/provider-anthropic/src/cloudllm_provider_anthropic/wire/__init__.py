"""Our messages to the Messages API's wire and back: pure functions, no SDK, no network."""

from cloudllm_provider_http import Events, Malformed, Origin, bad_response, parse_arguments, read_json, retry_after

from .encoding import encode
from .failures import HERE, failure
from .requests import request_body
from .schemas import schema_for
from .streams import Assembly, completion

__all__ = [
    "HERE",
    "Assembly",
    "Events",
    "Malformed",
    "Origin",
    "bad_response",
    "completion",
    "encode",
    "failure",
    "parse_arguments",
    "read_json",
    "request_body",
    "retry_after",
    "schema_for",
]
