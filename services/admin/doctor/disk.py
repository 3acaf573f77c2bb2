"""ClickHouse's disk: how full it is, and when it will be."""

from dataclasses import dataclass

from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.retention import FOR_EVER, kept
from services.admin.statements import statement
from services.admin.words import size

_DISKS = statement("doctor_disks")
_GROWTH = statement("doctor_growth")


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk, and what our tables have of it. `a_day`: the bytes that a day of events adds.

    `days_until_steady`: when as much goes by its age as comes; None: never.
    """

    name: str
    free: int
    total: int
    ours: int
    a_day: float
    days_until_steady: float | None

    @property
    def free_percent(self) -> float:
        return 100 * self.free / max(1, self.total)

    def days_left(self, reserve_percent: float) -> float | None:
        """Until less than the reserve is free, at the growth of the last days; None: never."""
        room = self.free - self.total * reserve_percent / 100
        if self.a_day <= 0:
            return None
        days = max(0.0, room / self.a_day)
        steady = self.days_until_steady
        return None if steady is not None and days > steady else days


async def disk(installation: Installation) -> Finding:
    """There is room, and will be."""
    client = await installation.clickhouse()
    table = await kept(client)
    (a_day, age_days) = (await client.query(_GROWTH)).result_rows[0]
    steady = None if table.days in {None, FOR_EVER} else max(0.0, (table.days or 0) - age_days)
    found = [
        Disk(name, free, total, ours, a_day, steady)
        for name, free, total, ours in (await client.query(_DISKS)).result_rows
    ]
    doctor = installation.settings.doctor
    return judge(found, doctor.disk_free_percent, doctor.disk_days)


def judge(found: list[Disk], reserve_percent: float, least_days: float) -> Finding:
    """What to say of the disks. The fullest is told."""
    if not found:
        return fail("no disk is told", "one at least", "Let the user read system.disks.")
    one = min(found, key=lambda disk: disk.free_percent)
    left = one.days_left(reserve_percent)
    forecast = "it does not fill" if left is None else f"it fills in {left:,.0f} days"
    seen = (
        f"{one.name}: {size(one.free)} of {size(one.total)} free ({one.free_percent:.0f} %), ours"
        f" {size(one.ours)}, {size(one.a_day)} more a day: {forecast}"
    )
    advice = "Free or add space, or keep raw events for fewer days (`ragtime retention`)."
    if one.free_percent < reserve_percent:
        return fail(seen, f"{reserve_percent:g} % free", advice)
    if left is not None and left < least_days:
        return warn(seen, f"room for {least_days:g} days", advice)
    return ok(seen)
