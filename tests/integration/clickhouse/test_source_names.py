"""The migration that makes `source_names` keeps the names that there are."""

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.migrations import apply, read_migrations
from libs.settings import ClickHouseSettings
from tests.integration.query.rows import insert_events

pytestmark = pytest.mark.integration

_LATEST = "SELECT id, is_live, max(latest).name FROM source_names GROUP BY 1, 2 ORDER BY 1, 2"
_OF_ALL_TIME = "INSERT INTO sources VALUES ('museum', 'gone', 'Gone', '2020-01-01')"


async def _as_before(client: AsyncClient, database: str) -> None:
    """Take the tables back to the release before."""
    await client.command("DROP VIEW source_names_of_events")
    await client.command("DROP TABLE source_names")
    await apply(client, database, [one for one in read_migrations() if one.name == "sources"])


async def test_names_are_kept_when_tables_of_the_release_before_are_migrated(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    client, database = clickhouse, clickhouse_settings.database
    await _as_before(client, database)
    named = {"type": "rag.retrieval", "conversation_id": "c"}
    await insert_events(
        client,
        [
            named | {"sources": [["guide", "Guide"], ["map", "Map"]]},
            named | {"sources": [["guide", "Trial"]], "is_live": False},
            named | {"sources": [["map", "Old map"]], "occurred_at": "2026-03-02T12:00:00Z"},
        ],
    )
    await client.command(_OF_ALL_TIME)

    for _ in range(2):
        await apply(
            client, database, [one for one in read_migrations() if one.name == "source_names"]
        )

        assert (await client.query(_LATEST)).result_rows == [
            ("gone", True, "Gone"),
            ("guide", False, "Trial"),
            ("guide", True, "Guide"),
            ("map", True, "Map"),
        ]
