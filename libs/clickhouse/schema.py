"""The tables as the migrations leave them, for people to read: `schema.sql` beside this file.

`python -m libs.clickhouse.schema` writes it anew with the server named in the environment
(RAGTIME_CLICKHOUSE__*, a user with all grants), in a database that it makes and drops.
"""

import asyncio
from pathlib import Path

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import apply, read_migrations
from libs.settings import ClickHouseSettings, ServiceSettings, load_settings

SCHEMA = Path(__file__).parent / "schema.sql"
_SCRATCH = "ragtime_schema"
_HEAD = (
    "-- Generated from migrations/ by `make schema`. Read it; change the tables by a migration.\n"
)


class _Settings(ServiceSettings):
    clickhouse: ClickHouseSettings


async def make_schema(client: AsyncClient) -> str:
    """The text of `schema.sql`, from a server on which the migrations are applied for it."""
    await client.command(f"DROP DATABASE IF EXISTS {_SCRATCH} SYNC")
    await apply(client, _SCRATCH, read_migrations())
    text = await read_schema(client, _SCRATCH)
    await client.command(f"DROP DATABASE {_SCRATCH} SYNC")
    return text


async def read_schema(client: AsyncClient, database: str) -> str:
    """What the text would be of a database as it is."""
    rows = await client.query(
        "SELECT formatQuery(create_table_query) FROM system.tables"
        " WHERE database = {database:String} ORDER BY name",
        parameters={"database": database},
    )
    statements = [str(text).replace(f"{database}.", "") for (text,) in rows.result_rows]
    return _HEAD + "".join(f"\n{statement};\n" for statement in statements)


async def _write() -> None:
    client = await connect(load_settings(_Settings).clickhouse, database="system")
    SCHEMA.write_text(await make_schema(client), "utf-8")
    await client.close()


if __name__ == "__main__":
    asyncio.run(_write())
