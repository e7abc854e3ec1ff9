"""Our messages to generateContent and back: pure functions, no SDK, no network."""

from .arguments import Malformed, checked, parse_json
from .encoding import encode
from .failures import Origin, bad_response, failure, retry_after
from .requests import request_body
from .sse import Events
from .streams import Assembly, completion

__all__ = [
    "Assembly",
    "Events",
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
