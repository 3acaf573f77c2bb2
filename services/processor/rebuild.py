"""Makes the memory of partitions anew from the table: the window's events, recent conversations."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from aiohttp import ClientError
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import OperationalError
from numpy.typing import NDArray

from libs.kafka.last_record import LastRecord
from services.processor.batch import day_of
from services.processor.dedup_index import (
    BUCKET_MS,
    WINDOW_MS,
    Identities,
    Partition,
    Run,
    SeenConversations,
    SeenIds,
)
from services.processor.statements import statement

_PORTION_BYTES = 1 << 22
_OTHER_TOPICS = 65_535  # in last_appended.sql

_IDENTITY = [("key", "<u8"), ("check", "<u8")]
_IDS_ROW = np.dtype([("partition", "<u2"), ("bucket", "<u4"), *_IDENTITY])
_CONVERSATIONS_ROW = np.dtype([("partition", "<u2"), ("day", "<u2"), *_IDENTITY])

_LAST_APPENDED = statement("last_appended")
_WINDOW_IDS = statement("window_ids")
_RECENT_CONVERSATIONS = statement("recent_conversations")


class Rebuild:
    """Reads what partitions of a topic must remember.

    `topic`: the name that its rows have. `now` gives the UTC time.
    """

    def __init__(self, client: AsyncClient, topic: str, now: Callable[[], datetime]) -> None:
        # How many partitions the topic has: says where the rows of an older topic belong.
        self.number_of_partitions = 1
        self.topic = topic
        self.steps = 0  # what has come from ClickHouse so far: answers, and portions of large ones
        self._client = client
        self._now = now

    async def partitions(
        self, numbers: set[int], last: Mapping[int, LastRecord]
    ) -> dict[int, Partition]:
        """These partitions, given the last record of each in the table. Raises `Error`."""
        if not numbers:
            return {}
        ids = await self._ids(sorted(numbers))
        conversations = await self._conversations(sorted(numbers))
        return {
            number: Partition(
                number,
                last[number].offset + 1 if number in last else 0,
                ids[number],
                conversations[number],
                last.get(number),
            )
            for number in numbers
        }

    async def _ids(self, partitions: list[int]) -> dict[int, SeenIds]:
        result = await self._client.query(_LAST_APPENDED, parameters={"topic": self.topic})
        self.steps += 1
        last_ms = {int(partition): int(at_ms) for partition, at_ms in result.result_rows}
        others_ms = last_ms.get(_OTHER_TOPICS)
        since = {
            number: at_ms - WINDOW_MS
            for number in partitions
            if (at_ms := last_ms.get(number, others_ms)) is not None
        }
        found: defaultdict[tuple[int, int], list[Run]] = defaultdict(list)
        if since:
            async for rows in self._window_ids(since):
                for key, run in _by_bucket(rows):
                    found[key].append(run)
        ids = {number: SeenIds() for number in partitions}
        while found:  # one by one, so that no more than one bucket is there twice
            (number, bucket), portions = found.popitem()
            identities = ids[number].buckets[bucket] = Identities()
            keys, checks = (np.concatenate(columns) for columns in zip(*portions, strict=True))
            identities.exact.add(keys, checks)
        return ids

    async def _window_ids(self, since: dict[int, int]) -> AsyncIterator[NDArray[Any]]:
        stream = await self._client.raw_stream(
            _WINDOW_IDS,
            parameters={
                "partitions": list(since),
                "since_ms": list(since.values()),
                "earliest_ms": min(since.values()),
                "bucket_ms": BUCKET_MS,
                **self._mapping(),
            },
            fmt="RowBinary",
        )
        pending = bytearray()
        try:
            async with stream as chunks:
                async for chunk in chunks:
                    self.steps += 1
                    pending += chunk
                    if len(pending) >= _PORTION_BYTES:
                        whole = len(pending) - len(pending) % _IDS_ROW.itemsize
                        yield np.frombuffer(bytes(pending[:whole]), dtype=_IDS_ROW)
                        del pending[:whole]
        except ClientError as error:  # a server that fails in the midst of it breaks it off
            raise OperationalError(f"the answer was cut: {type(error).__name__}") from error
        yield np.frombuffer(bytes(pending), dtype=_IDS_ROW)

    def _mapping(self) -> dict[str, str | int]:
        return {"topic": self.topic, "number_of_partitions": self.number_of_partitions}

    async def _conversations(self, partitions: list[int]) -> dict[int, SeenConversations]:
        yesterday = self._now().date() - timedelta(days=1)
        raw = await self._client.raw_query(
            _RECENT_CONVERSATIONS,
            parameters={"partitions": partitions, "since": yesterday, **self._mapping()},
            fmt="RowBinary",
        )
        self.steps += 1
        rows = np.frombuffer(raw, dtype=_CONVERSATIONS_ROW)
        return {number: _conversations_of(number, rows, yesterday) for number in partitions}


def _conversations_of(number: int, rows: NDArray[Any], complete_from: date) -> SeenConversations:
    seen = SeenConversations(complete_from)
    own = rows[rows["partition"] == number]
    for day in np.unique(own["day"]):
        these = own[own["day"] == day]
        seen.add(day_of(int(day)), these["key"], these["check"])
    return seen


def _by_bucket(rows: NDArray[Any]) -> list[tuple[tuple[int, int], Run]]:
    """The identities of some rows, by partition and bucket."""
    keys = rows["partition"].astype(np.uint64) << np.uint64(32) | rows["bucket"]
    return [
        ((int(key) >> 32, int(key) & 0xFFFFFFFF), (rows["key"][own], rows["check"][own]))
        for key in np.unique(keys)
        for own in (keys == key,)
    ]
