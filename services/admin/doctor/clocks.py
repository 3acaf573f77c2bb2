"""Whether the clocks agree: ours, ClickHouse's, and Kafka's with ingest's.

Kafka's clock is read from what it stamped: of the events of the last hour with any, the least time
from ingest's stamp to Kafka's is the difference of their clocks and a few milliseconds.
"""

import time
from dataclasses import dataclass

from clickhouse_connect.driver.asyncclient import AsyncClient

from services.admin.doctor.findings import Finding, Status, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.statements import statement

_NOW = "SELECT toUnixTimestamp64Micro(now64(6)) / 1e6"
_STAMPS = statement("doctor_stamps")
_TRIES = 3
# An event that is stamped so much too early or too late may be refused.
_DANGER_S = 60.0


@dataclass(frozen=True, slots=True)
class Skew:
    """By how many seconds a clock is before another."""

    clock: str
    other: str
    seconds: float

    def __str__(self) -> str:
        side = "ahead of" if self.seconds >= 0 else "behind"
        return f"{self.clock} {abs(self.seconds):.3f} s {side} {self.other}"

    def status(self, most_s: float) -> Status:
        if abs(self.seconds) <= most_s:
            return Status.OK
        return Status.WARN if abs(self.seconds) <= max(_DANGER_S, most_s) else Status.FAIL


async def clocks(installation: Installation) -> Finding:
    """The clocks agree to some seconds."""
    client = await installation.clickhouse()
    skews = [Skew("ClickHouse", "this machine", await _clickhouse_s(client))]
    stamps = (await client.query(_STAMPS)).result_rows
    if stamps:
        skews.append(Skew("Kafka", "ingest", stamps[0][0] / 1000))
    return judge(skews, installation.settings.doctor.max_skew_s)


def judge(skews: list[Skew], most_s: float) -> Finding:
    """What to say of some clocks."""
    seen = ", ".join(map(str, skews))
    found = {skew.status(most_s) for skew in skews}
    if found == {Status.OK}:
        return ok(seen)
    tell = fail if Status.FAIL in found else warn
    return tell(
        seen,
        f"at most {most_s:g} s",
        "Let all machines keep time by NTP, with slewing: never set ClickHouse's or Kafka's clock"
        " back while they run.",
    )


async def _clickhouse_s(client: AsyncClient) -> float:
    """ClickHouse's clock less ours, by the quickest of a few answers."""
    found = []
    for _ in range(_TRIES):
        asked = time.time()
        theirs = float((await client.query(_NOW)).result_rows[0][0])
        answered = time.time()
        found.append((answered - asked, theirs - (asked + answered) / 2))
    return min(found)[1]
