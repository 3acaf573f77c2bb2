"""Until when this process may insert into its partitions.

Kafka gives a partition to one member of the group at a time, but a member that was frozen does not
notice that its partitions went to another. So each insert carries a lease, a time after which
ClickHouse refuses to begin it, and two rules make two writers impossible:

- A lease ends `lease_s` after a moment at which the group's coordinator was asked and confirmed
  that this process is a member of the current generation.
- A new owner reads nothing of the table until `lease_s` have passed since it was given its
  partitions, and until no insert into them is running.

What the coordinator confirmed to an owner, it confirmed before it gave the partition to the next
one. So each lease of the one has passed before the other looks, whichever was frozen how long.

Leases are times of ClickHouse's clock, reckoned from this machine's monotonic one: that the clocks
of two machines agree is not needed, only that they run at the same speed.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import LEASES_LOST

_RETRY_S = 0.5

log = get_logger()

# Ask the coordinator, by committing these offsets (of the next records), whether we are members.
Confirm = Callable[[Mapping[int, int]], Awaitable[bool]]


class StoppedError(Exception):
    """The partitions go elsewhere, or the service stops: leave the batch to the next owner."""


class Ownership:
    """The lease on the partitions that this process was given last."""

    def __init__(
        self,
        lease_s: float,
        confirm: Confirm,
        is_wanted: Callable[[], bool],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.lease_s = lease_s
        self._confirm = confirm
        self._is_wanted = is_wanted
        self._monotonic = monotonic
        self._sleep = sleep
        self.waits = 0  # how often something was waited for that is known: a server, a lease
        self._given_at = monotonic()
        self._confirmed_at: float | None = None
        # The latest server time less our monotonic time that cannot be too late.
        self._server_offset_s: float | None = None

    def given(self) -> None:
        """The coordinator has just given us partitions; older confirmations are worth nothing."""
        self._given_at = self._monotonic()
        self._confirmed_at = None

    def confirmed(self, asked_at: float) -> None:
        """The coordinator took a commit of ours; `asked_at`: monotonic time before it was asked."""
        self._confirmed_at = asked_at

    def server_time(self, seconds: float) -> None:
        """ClickHouse has just said that its time (since 1970) was this."""
        self._server_offset_s = seconds - self._monotonic()

    def check(self) -> None:
        """Raise StoppedError when this process should not go on with its partitions."""
        if not self._is_wanted():
            raise StoppedError

    async def wait_for_others(self) -> None:
        """Return when each lease that anybody had before us, ourselves included, has passed."""
        # What was asked before we were given them says nothing of their owners before us.
        since = max(self._given_at, self._confirmed_at or self._given_at)
        while (left_s := since + self.lease_s - self._monotonic()) > 0:
            await self.pause(min(left_s, _RETRY_S))

    async def pause(self, seconds: float) -> None:
        """Let some time pass. Raises StoppedError when this process should not go on."""
        self.check()
        self.waits += 1
        await self._sleep(seconds)
        self.check()

    async def lease(self, offsets: Mapping[int, int]) -> datetime:
        """Until when an insert may begin, at least half a lease from now, by ClickHouse's clock.

        `offsets`: the next record of each partition concerned. Raises StoppedError when the
        partitions are not ours any more.
        """
        while True:
            self.check()
            now = self._monotonic()
            confirmed_at = self._confirmed_at
            if confirmed_at is not None and now < confirmed_at + self.lease_s / 2:
                assert self._server_offset_s is not None  # noqa: S101 - recovery came before
                seconds = confirmed_at + self.lease_s + self._server_offset_s
                return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
            if await self._confirm(offsets):
                self._confirmed_at = now
            else:
                log.warning("membership.not_confirmed")
                LEASES_LOST.labels("not_confirmed").inc()
                await self._sleep(_RETRY_S)
