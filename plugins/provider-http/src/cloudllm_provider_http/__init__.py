"""
What providers that speak HTTP share.

How bytes travel, how long they may take, how a stream of events and a call's arguments are read. There is nothing in
it for a team file: the providers are plugins of their own, and extend `HTTPProvider`.
"""

from .arguments import DEPTH, Malformed, Odd, checked, parse_arguments, plain, read_json, sound, written
from .connection import Connections, Door, Line, answered, http_client, requests
from .deadlines import Deadlines, Watch, in_time
from .encoding import compact, encode, quoted
from .events import BARE, Events
from .failures import Origin, bad_response, number, preview, retry_after, sentence
from .provider import EFFORT, HTTPProvider
from .reading import Assembly, Reading, gathered, parsed, read, refused

__all__ = [
    "BARE",
    "DEPTH",
    "EFFORT",
    "Assembly",
    "Connections",
    "Deadlines",
    "Door",
    "Events",
    "HTTPProvider",
    "Line",
    "Malformed",
    "Odd",
    "Origin",
    "Reading",
    "Watch",
    "answered",
    "bad_response",
    "checked",
    "compact",
    "encode",
    "gathered",
    "http_client",
    "in_time",
    "number",
    "parse_arguments",
    "parsed",
    "plain",
    "preview",
    "quoted",
    "read",
    "read_json",
    "refused",
    "requests",
    "retry_after",
    "sentence",
    "sound",
    "written",
]
