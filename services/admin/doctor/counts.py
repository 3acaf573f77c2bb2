"""A spot check of `ragtime audit`: a few partitions' days hold what the raw table gives them."""

import secrets
from datetime import UTC, datetime, timedelta
from functools import partial

from libs.clickhouse.kept_days import complete_since, noted
from services.admin.audit import TABLE_CHECKS, first_row, steady
from services.admin.doctor.findings import Finding, fail, ok
from services.admin.doctor.installation import Installation
from services.admin.statements import statement

_DAYS = statement("doctor_days")
_DAYS_BACK = 35
_SAMPLES = 3
# Larger days are left to the audit: this should take seconds.
_MOST_EVENTS = 5_000_000


async def counts(installation: Installation) -> Finding:
    """The rollup is what the raw table gives."""
    client = await installation.clickhouse()
    now = datetime.now(UTC)
    since = (now - timedelta(days=_DAYS_BACK)).date()
    since = max(since, complete_since(await noted(client), now) or since)
    result = await client.query(_DAYS, parameters={"since": since, "most": _MOST_EVENTS})
    days = list(result.result_rows)
    sampled = [days.pop(secrets.randbelow(len(days))) for _ in range(min(_SAMPLES, len(days)))]
    for day, partition in sampled:
        parameters = {"partition": partition, "since": day, "until": day}
        if found := await steady(partial(first_row, client, TABLE_CHECKS["counts"], parameters)):
            return fail(
                f"partition {partition}: {found}",
                "the same number in both",
                "Run `ragtime audit`, then restart the processors: they mend what they take over.",
            )
    seen = ", ".join(f"{day:%Y-%m-%d}/{partition}" for day, partition in sampled)
    return ok(f"raw = rollup in {seen}" if sampled else "no events to compare")
