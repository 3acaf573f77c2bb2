"""`python -m tests.bench.recovery`: a recovery with many ids in one partition's window.

Bulk-loads ids through the same table and views, then lets a new process take the partition over.
Says how long that took and what memory the process had at most, beside one that recovers an empty
partition.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time

from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import apply, read_migrations
from libs.settings import ClickHouseSettings
from services.processor.ownership import Ownership
from services.processor.recovery import Recovery, utc_now
from tests.bench.measure import cost_of
from tests.servers import servers

_TOPIC, _DATABASE = "events", "bench_recovery"
_LEASE_S = 0.1
_PASSWORD = "BENCH_PASSWORD"
_PORTION = 1_000_000
_LOAD = """
INSERT INTO events (project_id, is_live, id, type, occurred_at, accepted_at, session_id,
    conversation_id, role, topic, appended_at, kp, ko, line, first_of_day, lease)
SELECT concat('project-', toString(number % 100)), 1, concat('id-', toString(number)),
    'chat.message', moment, moment, concat('s-', toString(intDiv(number, 20))),
    concat('c-', toString(intDiv(number, 20))), 'user', {topic:String}, moment, 0,
    intDiv(number, 500), number % 500, number % 20 = 0, now64(3) + INTERVAL 1 HOUR
FROM (
    SELECT number, now64(3) - toIntervalMillisecond(intDiv((n - number) * 82800000, n)) AS moment
    FROM (SELECT number, {total:UInt64} AS n FROM numbers({first:UInt64}, {rows:UInt64})))
"""


async def load(client: AsyncClient, ids: int) -> None:
    """So many events of partition 0, appended over the last 23 hours."""
    for first in range(0, ids, _PORTION):
        rows = min(_PORTION, ids - first)
        parameters = {"topic": _TOPIC, "total": ids, "first": first, "rows": rows}
        await client.command(_LOAD, parameters=parameters, settings={"max_insert_threads": 1})


async def recover(settings: ClickHouseSettings, partition: int) -> None:
    """Take one partition over, as the processor does, and say what it took."""

    async def confirm(_offsets: object) -> bool:
        return True

    client = await connect(settings)
    ownership = Ownership(_LEASE_S, confirm, lambda: True, time.monotonic, asyncio.sleep)
    started = time.monotonic()
    found = await Recovery(client, _TOPIC, ownership, utc_now).recover({partition})
    seconds = time.monotonic() - started - _LEASE_S
    await client.close()
    ids = len(found[partition].ids)
    peak_mib = cost_of(os.getpid()).peak_mib
    say(f"  {ids} ids: {seconds:.2f} s, peak {peak_mib:.0f} MiB")


def say(line: str) -> None:
    """A line for the person at the terminal, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Load and recover; with --recover it is the process that takes over."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ids", type=int, default=10_000_000)
    parser.add_argument("--recover", nargs=3, metavar=("URL", "USER", "PARTITION"))
    arguments = parser.parse_args()
    if arguments.recover:
        url, user, partition = arguments.recover
        settings = _settings(url, user, os.environ[_PASSWORD])
        asyncio.run(recover(settings, int(partition)))
        return
    with servers() as found:
        settings = _settings(found.clickhouse_url, found.admin.user, found.admin.password)
        asyncio.run(_prepare(settings, arguments.ids))
        for partition in ("1", "0", "0"):
            command = [sys.executable, "-m", "tests.bench.recovery", "--recover", settings.url]
            secret = {_PASSWORD: settings.password.get_secret_value()}
            command += [settings.user, partition]
            subprocess.run(command, check=True, env=os.environ | secret)


async def _prepare(settings: ClickHouseSettings, ids: int) -> None:
    system = await connect(settings, database="system")
    await apply(system, _DATABASE, read_migrations())
    await system.close()
    client = await connect(settings)
    started = time.monotonic()
    await load(client, ids)
    say(f"{ids} events loaded in {time.monotonic() - started:.0f} s; recovery of a partition with")
    await client.close()


def _settings(url: str, user: str, password: str) -> ClickHouseSettings:
    return ClickHouseSettings(
        url=url, user=user, password=SecretStr(password), database=_DATABASE, timeout_s=300
    )


if __name__ == "__main__":
    main()
