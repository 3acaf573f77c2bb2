"""The tables: migrations, retention, sizes, and ClickHouse's own logs."""

from collections.abc import Mapping, Set

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.migrations import (
    altered,
    read_engines,
    read_ledger,
    read_migrations,
    replication_error,
    table_names,
    unapplied,
    unknown,
)
from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.retention import kept, words
from services.admin.statements import statement
from services.admin.words import listed, size

_SIZES = statement("doctor_sizes")
_LOG_TABLES = statement("doctor_log_tables")
_DELETIONS = statement("doctor_deletions")
# ClickHouse begins to slow inserts at 1,000 parts of a partition, by default.
_MANY_PARTS = 500


async def migrations(installation: Installation) -> Finding:
    """All migrations of this release are applied, as they are, and no others; on one server."""
    database = installation.settings.clickhouse.database
    client = await installation.clickhouse()
    engines = await read_engines(client, database)
    made = {f"{database}.{name}" for name in table_names(read_migrations())}
    return judge(engines, await read_ledger(client, database), made)


def judge(
    engines: Mapping[str, str], applied: dict[int, str], made: Set[str] = frozenset()
) -> Finding:
    """What to say of the engines of database and tables by name, and of the ledger: number →
    checksum. `made`: the tables that all migrations make.
    """
    if error := replication_error(engines):
        return fail(
            error,
            "tables of one ClickHouse server",
            "Stop the processors, and give all services the URL and database of one server.",
        )
    here = read_migrations()
    troubles = [f"{one.number:04} is missing" for one in unapplied(here, applied)]
    troubles += [f"{one.number:04} was altered" for one in altered(here, applied)]
    troubles += [f"{number:04} is unknown" for number in unknown(here, applied)]
    lost = sorted(made - engines.keys())
    if lost and not troubles:
        return fail(
            f"applied, and not there: {', '.join(lost)}",
            "all tables that the migrations made",
            "Attach what was detached; what was dropped comes back from a backup alone.",
        )
    if not troubles:
        return ok(f"{len(here)} migrations applied")
    return fail(
        "; ".join(troubles),
        f"0001 to {len(here):04}, as they are in this release",
        "Run `ragtime migrate`; where one is unknown or was altered, run the release that made it.",
    )


async def retention(installation: Installation) -> Finding:
    """The table of raw events has the TTL that is set."""
    days = installation.settings.retention.events_days
    table = await kept(await installation.clickhouse())
    oldest = f", the oldest of {table.oldest:%Y-%m-%d}" if table.oldest else ""
    seen = f"raw events are kept {words(table.days)}{oldest}"
    if table.days == days:
        return ok(seen)
    return warn(
        seen,
        f"{words(days)}, as RAGTIME_RETENTION__EVENTS_DAYS says",
        "Look at `ragtime retention`, then carry it out with `ragtime retention --apply`.",
    )


async def sizes(installation: Installation) -> Finding:
    """Our tables, and whether merges follow inserts."""
    result = await (await installation.clickhouse()).query(_SIZES)
    seen = ", ".join(
        f"{name} {size(bytes_)}, {rows:,} rows" for name, bytes_, rows, _ in result.result_rows
    )
    crowded = [f"{name}: {parts} parts" for name, *_, parts in result.result_rows
               if parts > _MANY_PARTS]  # fmt: skip
    if not crowded:
        return ok(seen or "no rows yet")
    return warn(
        f"{listed(crowded)} in one month; {seen}",
        f"at most {_MANY_PARTS} parts in a partition of a table",
        "Let larger batches form (RAGTIME_BATCH__WITHIN_S), or give ClickHouse more CPU.",
    )


async def deletions(installation: Installation) -> Finding:
    """Nobody has deleted rows by hand that recovery still compares."""
    return await judge_deletions(await installation.clickhouse())


async def judge_deletions(client: AsyncClient) -> Finding:
    """The same of one database. Raises the driver's `Error`."""
    found = (await client.query(_DELETIONS)).result_rows
    if not found:
        return ok("none by hand in the last 45 days")
    seen = [f"{times} of {table}, the last at {last} UTC" for table, times, last in found]
    return warn(
        f"rows were deleted by hand: {listed(seen)}",
        "nothing deleted: the rows tell what was counted, and how far Kafka was read",
        "Read `Deleting rows by hand` in docs/operating.md; `ragtime audit` tells what differs.",
    )


async def log_tables(installation: Installation) -> Finding:
    """ClickHouse's own log tables end somewhere."""
    result = await (await installation.clickhouse()).query(_LOG_TABLES)
    total = sum(bytes_ for _, bytes_, _ in result.result_rows)
    endless = [f"system.{name} ({size(bytes_)})" for name, bytes_, ends in result.result_rows
               if not ends]  # fmt: skip
    if not result.result_rows:
        return ok("none")
    if not endless:
        return ok(f"{len(result.result_rows)}, {size(total)}, all with a TTL")
    return warn(
        f"without a TTL: {listed(endless)}",
        "a TTL on each, or none of it",
        "Give each a <ttl> in ClickHouse's config.d, or turn it off there.",
    )
