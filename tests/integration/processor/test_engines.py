"""The processor finds out with its own rights alone that the tables are those of one server."""

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.migrations import read_engines, wait_until_countable
from libs.settings import ClickHouseSettings

pytestmark = pytest.mark.integration


async def test_engines_are_seen_of_the_tables_that_the_processor_may_read(
    processor: AsyncClient, processor_settings: ClickHouseSettings
) -> None:
    database = processor_settings.database
    engines = await read_engines(processor, database)
    assert engines[database] == "Atomic"
    assert engines[f"{database}.events"] == "MergeTree"
    assert engines[f"{database}.daily_counts"] == "SummingMergeTree"
    await wait_until_countable(processor, database)
