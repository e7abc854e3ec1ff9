"""Our messages to the Chat Completions wire and back: pure functions, no SDK, no network."""

from .arguments import Malformed, parse_arguments
from .failures import Origin, bad_response, failure, retry_after
from .requests import encode, request_body
from .sse import Events
from .streams import Assembly, completion

__all__ = [
    "Assembly",
    "Events",
    "Malformed",
    "Origin",
    "bad_response",
    "completion",
    "encode",
    "failure",
    "parse_arguments",
    "request_body",
    "retry_after",
]
