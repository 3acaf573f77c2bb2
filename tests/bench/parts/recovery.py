"""A recovery with many ids in one partition's window: the memory and the time that it takes.

Bulk-loads 10 million ids through the same tables and views, then lets a new process take the
partition over, and another one an empty partition.
"""

import json
import os
import subprocess
import sys

from clickhouse_connect.driver.asyncclient import AsyncClient

from tests.bench.measure import Goal, Result, Rounds
from tests.bench.tables import Tables, tables
from tests.bench.takeover import TOPIC
from tests.e2e.processes import CHECKOUT
from tests.e2e.stack import user_of

_IDS, _QUICK_IDS = 10_000_000, 300_000
_ROUNDS = 2
_FULL, _EMPTY = "0", "1"
_BASE_MB, _BYTES_AN_ID = 300, 16
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


def run(*, quick: bool) -> list[Result]:
    """Peak memory against its bound, and the seconds."""
    ids = _QUICK_IDS if quick else _IDS
    found = Rounds()
    with tables() as full:
        full.run(lambda client: load(client, ids))
        for _ in range(1 if quick else _ROUNDS):
            empty, loaded = _take_over(full, _EMPTY), _take_over(full, _FULL)
            assert loaded["ids"] == ids
            found.add(empty_peak_mb=empty["peak_mb"], empty_s=empty["seconds"], **loaded)
    million = f"{ids / 1e6:g} million ids"
    bound_mb = _BASE_MB + ids * _BYTES_AN_ID / 1e6
    return [
        found.figure(f"memory of a recovery, {million}", "peak_mb", "MB", Goal(at_most=bound_mb)),
        found.figure(f"time of a recovery, {million}", "seconds", "s"),
    ]


async def load(client: AsyncClient, ids: int) -> None:
    """So many events of partition 0, appended over the last 23 hours."""
    for first in range(0, ids, _PORTION):
        rows = min(_PORTION, ids - first)
        parameters = {"topic": TOPIC, "total": ids, "first": first, "rows": rows}
        await client.command(_LOAD, parameters=parameters, settings={"max_insert_threads": 1})


def _take_over(full: Tables, partition: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.takeover", partition],
        cwd=CHECKOUT,
        env=os.environ | full.environment | user_of(full.servers, "processor"),
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
