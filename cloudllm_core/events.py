"""Events, records and signals: what sinks receive and runs hand out. See `Event`, `Record`, `Signal`."""

from ._events import *  # noqa: F403 -- the public page of a private module
