"""Our messages to generateContent and back: pure functions, no SDK, no network."""

from cloudllm_provider_http import Malformed, Origin, bad_response, retry_after

from .arguments import checked, parse_json
from .encoding import encode
from .failures import HERE, failure
from .requests import request_body
from .streams import Assembly, completion

__all__ = [
    "HERE",
    "Assembly",
    "Malformed",
    "Origin",
    "bad_response",
    "checked",
    "completion",
    "encode",
    "failure",
    "parse_json",
    "request_body",
    "retry_after",
]
