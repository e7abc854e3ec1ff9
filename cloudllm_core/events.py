"""Events, records and signals: what sinks receive and runs hand out. See `Event`, `Record`, `Signal`."""

from ._events import *
