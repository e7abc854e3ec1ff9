"""Our messages to OpenAI's two wires, Chat Completions and (in `responses`) Responses: no SDK, no network."""

from cloudllm_provider_http import Events, Malformed, Origin, bad_response, parse_arguments, retry_after

from . import responses
from .encoding import encode
from .failures import CALLED, HERE, failure
from .formats import output_format, strict_schema
from .requests import request_body
from .streams import Assembly, Emit, completion

__all__ = [
    "CALLED",
    "HERE",
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
