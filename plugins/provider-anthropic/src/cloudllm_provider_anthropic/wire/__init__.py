"""Our messages to the Messages API's wire and back: pure functions, no SDK, no network."""

from .arguments import Malformed, parse_arguments, read_json
from .encoding import encode
from .failures import Origin, bad_response, failure, retry_after
from .requests import request_body
from .schemas import schema_for
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
    "read_json",
    "request_body",
    "retry_after",
    "schema_for",
]
