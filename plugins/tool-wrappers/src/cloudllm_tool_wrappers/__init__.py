"""
Wrappers around any tool protocol, and around each other.

`Approved` and `Decided` let a person or a function allow each call; `DryRun` does not do what changes
something; `RateLimit` spreads calls over time; `Cached` does not read twice; `Only` offers some of the
tools. The kernel's own `Prefixed` can be asked for by name where this package is installed.
"""

from ._wrapper import Wrapper
from .approved import Approved
from .cached import Cached
from .decided import Decided, DeniedError
from .dry_run import DryRun
from .only import Only
from .rate_limited import RateLimit, TooManyCallsError

__all__ = [
    "Approved",
    "Cached",
    "Decided",
    "DeniedError",
    "DryRun",
    "Only",
    "RateLimit",
    "TooManyCallsError",
    "Wrapper",
]
