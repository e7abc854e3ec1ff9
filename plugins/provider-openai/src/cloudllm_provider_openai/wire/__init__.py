"""Our messages to OpenAI's two wires, Chat Completions and (in `responses`) Responses: no SDK, no network."""

from . import responses
from .arguments import Malformed, parse_arguments
from .encoding import encode
from .failures import Origin, bad_response, failure, retry_after
from .formats import output_format, strict_schema
from .requests import request_body
from .sse import Events
from .streams import Assembly, Emit, completion

__all__ = [
    "Assembly",
    "Emit",
    "Events",
    "Malformed",
    "Origin",
    "bad_response",
    "completion",
    "encode",
    "failure",
    "output_format",
    "parse_arguments",
    "request_body",
    "responses",
    "retry_after",
    "strict_schema",
]
