"""Our messages to OpenAI's Responses API and back."""

from .requests import request_body
from .streams import Assembly

__all__ = ["Assembly", "request_body"]
