"""The afternoon's version of the processor: `getmany`, insert the bytes, commit.

At least once, no memory of ids, no recovery: the least that the work can cost.
Says "ready", reads on each line of its input up to the end offsets given there, says "done".
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings

PASSWORD = "BENCH_PASSWORD"


async def insert(client: AsyncClient, rows: bytes) -> None:
    """Lines as they are; all columns that are not in them have defaults."""

    async def once() -> AsyncIterator[bytes]:
        yield rows

    settings = {
        "date_time_input_format": "best_effort",
        "max_insert_block_size": 10_000_000,
        "async_insert": 0,
    }
    await client.raw_insert("events", insert_block=once(), fmt="JSONEachRow", settings=settings)


async def copy(
    consumer: AIOKafkaConsumer, client: AsyncClient, ends: dict[TopicPartition, int], most: int
) -> None:
    """Copy all records below these offsets, at most so many in an insert."""
    while any([await consumer.position(partition) < end for partition, end in ends.items()]):
        found = await consumer.getmany(timeout_ms=100, max_records=most)
        values = [record.value for records in found.values() for record in records]
        if values:
            await insert(client, b"\n".join(values))
            await consumer.commit()


async def run(arguments: argparse.Namespace) -> None:
    """Copy on demand, until the input ends."""
    settings = ClickHouseSettings(
        url=arguments.url,
        user=arguments.user,
        password=SecretStr(os.environ[PASSWORD]),
        database=arguments.database,
    )
    client = await connect(settings)
    consumer = AIOKafkaConsumer(
        arguments.topic,
        bootstrap_servers=arguments.kafka,
        group_id=f"{arguments.topic}-peer",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    while not consumer.assignment():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        ends = {TopicPartition(arguments.topic, int(at)): end for at, end in json.loads(line)}
        await copy(consumer, client, ends, arguments.max_records)
        _say("done")
    await consumer.stop()
    await client.close()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Take the places from the command line, the password from the environment."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("kafka", "topic", "url", "user", "database"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--max-records", type=int, required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
