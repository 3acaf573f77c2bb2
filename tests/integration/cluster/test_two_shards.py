"""Two shards, of which one does not answer: what goes to which, and that nothing is guessed.

Each statement gets as far as asking the other shard. What it would answer is not tried here.
"""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError

from services.processor.recovery import Recovery, utc_now
from services.processor.servers import CLUSTER_SETTINGS, running_inserts
from services.processor.statements import statement
from services.processor.writer import Writer, tags_of
from tests.integration.cluster.stand_in import HALF_SILENT
from tests.integration.processor.agents import TOPIC, Group, ownership_of

pytestmark = pytest.mark.integration

SERVICES = Path(__file__).parents[3] / "services"
STATEMENTS = {f"{path.parts[-3]}/{path.stem}": path.read_text("utf-8")
              for path in sorted(SERVICES.glob("*/sql/*.sql"))}  # fmt: skip
# What these ask is on the server that they are sent to.
OF_ONE_SERVER = {
    "admin/doctor_disks",
    "admin/doctor_log_tables",
    "admin/doctor_sizes",
    "processor/running_inserts",
    "processor/topic_partitions",
}
VALUES: dict[str, Any] = {
    "Array(Bool)": [True],
    "Array(Date)": [date(2026, 3, 25)],
    "Array(Int64)": [1],
    "Array(String)": ["a"],
    "Array(UInt16)": [1],
    "Bool": True,
    "Date": date(2026, 3, 25),
    "Int64": 1,
    "String": "a",
    "UInt16": 1,
    "UInt64": 1,
}
SILENT = 279  # ALL_CONNECTION_TRIES_FAILED


def row(kp: int) -> bytes:
    now = datetime.now(UTC).isoformat()
    return (
        f'{{"id":"a","kp":{kp},"lease":"2100-01-01 00:00:00.000","appended_at":"{now}"}}'.encode()
    )


async def test_row_goes_to_the_shard_of_its_partition(half_silent: AsyncClient) -> None:
    for name, value in CLUSTER_SETTINGS.items():
        half_silent.set_client_setting(name, value)
    writer = Writer(half_silent)

    await writer.insert([row(0), row(2)], [0, 2])
    with pytest.raises(DatabaseError) as refused:
        await writer.insert([row(1)], [1])

    assert refused.value.code == SILENT
    found = await half_silent.query("SELECT kp, count() FROM events_local GROUP BY kp ORDER BY kp")
    assert found.result_rows == [(0, 1), (2, 1)]


async def test_nothing_is_taken_over_while_a_server_is_silent(half_silent: AsyncClient) -> None:
    running = running_inserts(statement("running_inserts"), HALF_SILENT)
    with pytest.raises(DatabaseError) as unknown:
        await half_silent.query(running, parameters={"tags": tags_of([0])})
    assert unknown.value.code == SILENT

    own = ownership_of(Group())
    own.given()
    recovery = Recovery(half_silent, TOPIC, own, utc_now, HALF_SILENT)
    with pytest.raises(DatabaseError) as refused:
        await recovery.recover({0})
    assert refused.value.code == SILENT


@pytest.mark.parametrize("name", STATEMENTS)
async def test_statement_asks_both_shards_when_it_reads_a_sharded_table(
    half_silent: AsyncClient, name: str
) -> None:
    sql = STATEMENTS[name]
    settings = CLUSTER_SETTINGS if name.startswith("processor/") else {}
    parameters = {one: VALUES[kind] for one, kind in re.findall(r"\{(\w+):([\w()]+)\}", sql)}
    if name in OF_ONE_SERVER:
        await half_silent.query(sql, parameters=parameters, settings=settings)
        return
    with pytest.raises(DatabaseError) as refused:
        await half_silent.query(sql, parameters=parameters, settings=settings)
    assert refused.value.code == SILENT
