"""Who a request comes from, named by what they may do.

A route names one of these in its signature, and only admission makes them: a route that forgot to
ask for a scope has no caller to be called with.
"""

from dataclasses import dataclass
from typing import ClassVar

from libs.access.api_keys import ActiveKey, Scope


@dataclass(frozen=True)
class Caller:
    """Somebody whose key was found, with the scope of the class, for the project of the path."""

    scope: ClassVar[Scope]
    key: ActiveKey


class Reader(Caller):
    """May read the analytics of the project."""

    scope = Scope.ANALYTICS_READ


class Writer(Caller):
    """May write events into the project."""

    scope = Scope.EVENTS_WRITE
