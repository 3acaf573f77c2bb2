"""All checks, and how they are run: side by side, each with a deadline."""

import asyncio
from collections.abc import Mapping

from services.admin.doctor import (
    clocks,
    contradicting,
    counts,
    disk,
    letters,
    memory,
    peppers,
    progress,
    rights,
    services,
    store,
    tables,
    topics,
    versions,
)
from services.admin.doctor.advice import advice_of, told
from services.admin.doctor.findings import Check, Finding, fail
from services.admin.doctor.installation import Installation

# In the order in which they are shown. The names are for cron, alerts and --skip: they stay.
CHECKS: Mapping[str, Check] = {
    "ragtime": versions.ragtime,
    "clickhouse": versions.clickhouse,
    "kafka": versions.kafka,
    "clocks": clocks.clocks,
    "settings": contradicting.settings,
    "migrations": tables.migrations,
    "rights": rights.rights,
    "keys": peppers.keys,
    "store": store.store,
    "topics": topics.topics,
    "services": services.services,
    "processors": progress.processors,
    "lag": progress.lag,
    "memory": memory.memory,
    "dead-letters": letters.dead_letters,
    "counts": counts.counts,
    "retention": tables.retention,
    "tables": tables.sizes,
    "deletions": tables.deletions,
    "log-tables": tables.log_tables,
    "disk": disk.disk,
}


async def examine(installation: Installation, checks: Mapping[str, Check]) -> dict[str, Finding]:
    """What each check finds."""
    deadline_s = installation.settings.doctor.deadline_s
    found = await asyncio.gather(
        *(_look(installation, check, deadline_s) for check in checks.values())
    )
    return dict(zip(checks, found, strict=True))


async def _look(installation: Installation, check: Check, deadline_s: float) -> Finding:
    try:
        async with asyncio.timeout(deadline_s):
            return await check(installation)
    except TimeoutError as error:
        return fail(f"no answer within {deadline_s:g} s", "an answer", advice_of(error))
    except Exception as error:  # noqa: BLE001 - an edge: one check must not hide the others
        return fail(told(error), "an answer", advice_of(error))
