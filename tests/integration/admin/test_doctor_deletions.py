"""Doctor tells of rows that somebody deleted, and of nothing that the product does itself."""

from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from services.admin.doctor.findings import Status
from services.admin.doctor.tables import judge_deletions
from services.admin.retention import carry_out, keep
from tests.integration.admin.test_retention import INSERT

pytestmark = pytest.mark.integration


async def test_rows_that_were_deleted_by_hand_are_told(clickhouse: AsyncClient) -> None:
    await clickhouse.command(INSERT)
    await keep(clickhouse, 100)
    await carry_out(clickhouse, 200, datetime.now(UTC))
    before = await judge_deletions(clickhouse)

    await clickhouse.command("ALTER TABLE events DELETE WHERE id = '7' SETTINGS mutations_sync = 2")
    found = await judge_deletions(clickhouse)

    assert before.status is Status.OK
    assert found.status is Status.WARN
    assert "1 of events, the last at 20" in found.seen
    assert "Deleting rows by hand" in found.advice
