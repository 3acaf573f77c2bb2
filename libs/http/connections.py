"""Who is connected: from where, for which project, with how much in memory, and who makes room.

Before its key is known, what a stranger can hold is a connection, and memory for what was not heard
to its end, or is not read. Both are shared by address: an IPv4 address, or a /64 of IPv6. A request
is counted for its project too, from when its key is known until it is answered.

A proxy that is trusted, or that comes by a Unix socket, is many callers: it has no share.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

from starlette.types import Scope

from libs.access.client_address import Network, is_in, neighbourhood, parse_address
from libs.http.problems import Problem
from libs.http.shares import Shares
from libs.http.turns import Turns
from libs.telemetry.metrics import RATE_LIMITED

# In memory for a connection, on average: what comes before and between requests, answers unread.
_HELD_BYTES = 32 * 1024

TOO_MANY_UNDER_WAY = "Too many requests of this project are under way; wait for their answers."
_BY_REQUESTS = RATE_LIMITED.labels("under_way")


class Connection(Protocol):
    """What is asked of a connection."""

    since: float

    @property
    def is_at_work(self) -> bool:
        """Whether it waits for us, not we for it."""

    def make_room(self) -> None:
        """End: another needs what this one holds."""


class Connections:
    """All connections of a process. `share`: see Shares."""

    def __init__(
        self, max_connections: int, share: float, trusted_proxies: Sequence[Network] = ()
    ) -> None:
        self._trusted_proxies = tuple(trusted_proxies)
        self._all: dict[Slot, Connection] = {}
        self._places = Shares(max_connections, share)
        self._memory = Shares(max_connections * _HELD_BYTES, share)
        self.requests = Shares(max_connections, share)
        self.turns = Turns()

    def enter(self, slot: "Slot", connection: Connection, host: str | None) -> bool:
        """Give a connection a place, if one is free, or if one that waits for nothing can leave."""
        slot.holder = self._holder(host)
        places = self._places
        if not (places.fits(slot.holder, 1) or self._make_room(places, slot.holder, 1)):
            return False
        self._places.take(slot.holder, 1)
        self._all[slot] = connection
        return True

    def leave(self, slot: "Slot") -> None:
        """A connection has ended, or is about to."""
        if self._all.pop(slot, None) is not None:
            self._places.give_back(slot.holder, 1)
            self._set_memory(slot, 0)

    def hold(self, slot: "Slot", held_bytes: int) -> None:
        """So much is in memory for a connection; if it is too much, some have to leave."""
        if slot not in self._all:
            return
        self._set_memory(slot, held_bytes)
        while self._memory.free < 0 or self._memory.exceeds(slot.holder):
            if not self._make_room(self._memory, slot.holder, 0):
                return

    def _holder(self, host: str | None) -> Hashable:
        address = parse_address(host or "")
        if address is None or is_in(address, self._trusted_proxies):
            return object()
        return neighbourhood(address)

    def _set_memory(self, slot: "Slot", held_bytes: int) -> None:
        if held_bytes > slot.held_bytes:
            self._memory.take(slot.holder, held_bytes - slot.held_bytes)
        elif held_bytes < slot.held_bytes:
            self._memory.give_back(slot.holder, slot.held_bytes - held_bytes)
        slot.held_bytes = held_bytes

    def _make_room(self, shares: Shares, holder: Hashable, amount: int) -> bool:
        """Let one leave, of the holder that has most: the one whose silence is longest.

        For this holder, which wants so much more: so nobody leaves who has less than that.
        """
        least = shares.held_by(holder) + amount
        slots = [
            slot
            for slot, connection in self._all.items()
            if (slot.holder == holder or shares.held_by(slot.holder) >= least)
            and (shares is self._places or slot.held_bytes)
            and not connection.is_at_work
        ]
        if not slots:
            return False
        first = min(slots, key=lambda one: (-shares.held_by(one.holder), self._all[one].since))
        connection = self._all[first]
        self.leave(first)
        connection.make_room()
        return True


class Slot:
    """What one connection holds."""

    __slots__ = ("_connections", "_project_id", "held_bytes", "holder")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._project_id: str | None = None
        self.holder: Hashable = None
        self.held_bytes = 0

    def count_for(self, project_id: str) -> None:
        """A request of this project is under way. Raises a Problem where there are too many."""
        if not self._connections.requests.try_to_take(project_id, 1):
            _BY_REQUESTS.inc()
            raise Problem(429, "too_many_under_way", TOO_MANY_UNDER_WAY, {"Retry-After": "1"})
        self._project_id = project_id

    def answered(self) -> None:
        """No request is under way."""
        if self._project_id is not None:
            self._connections.requests.give_back(self._project_id, 1)
            self._project_id = None


def count_for_project(scope: Scope, project_id: str) -> None:
    """Count a request for its project while it is under way, if the server knows connections."""
    slot: Slot | None = scope["state"].get("connection")
    if slot is not None:
        slot.count_for(project_id)
