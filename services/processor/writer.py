"""All that the processor writes into ClickHouse: one insert a batch.

An insert is one block and becomes one part: all of it is there or nothing. Whether a failed one
was applied is not known here; the caller recovers the partitions and finds out.
"""

from collections.abc import AsyncIterator, Iterable

from clickhouse_connect.driver.asyncclient import AsyncClient

_TAG = "ragtime-insert"

INSERT_SETTINGS: dict[str, str | int] = {
    "async_insert": 0,
    # Insert tokens are written before the part is renamed: a kill in between would lose the rows.
    "deduplicate_insert": "disable",
    # One block an insert, whatever its size.
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 1 << 40,
    "date_time_input_format": "best_effort",
    "input_format_defaults_for_omitted_fields": 1,
}


def tag(partitions: Iterable[int]) -> dict[str, str]:
    """The setting by which an insert is found while it runs: it names its partitions."""
    return {"log_comment": f"{_TAG},{','.join(map(str, sorted(partitions)))},"}


def tags_of(partitions: Iterable[int]) -> str:
    """A regular expression that the tag of an insert into any of these partitions matches."""
    return f"^{_TAG},([0-9]+,)*({'|'.join(map(str, sorted(partitions)))}),"


class Writer:
    """Inserts batches."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def insert(self, rows: Iterable[bytes], partitions: Iterable[int]) -> None:
        """Insert a batch of JSONEachRow. After the driver's `Error` the outcome is unknown."""

        async def once() -> AsyncIterator[bytes]:
            # A body that can be read only once keeps clickhouse-connect from sending it again.
            for piece in rows:
                yield piece

        await self._client.raw_insert(
            "events",
            insert_block=once(),
            fmt="JSONEachRow",
            settings=INSERT_SETTINGS | tag(partitions),
        )
