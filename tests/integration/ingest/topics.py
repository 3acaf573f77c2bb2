"""Topics of a real Kafka, made for one test each and read back from the start."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


@asynccontextmanager
async def new_topic(bootstrap_servers: str, partitions: int) -> AsyncIterator[str]:
    """The name of a topic that is there as long as the block."""
    name = f"test-events-{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(
                    name, partitions, 1, topic_configs={"message.timestamp.type": "LogAppendTime"}
                )
            ]
        )
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


async def read_topic(bootstrap_servers: str, topic: str) -> dict[int, list[bytes]]:
    """The values of all records that are in the topic by now, by partition."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        records: dict[int, list[bytes]] = {p.partition: [] for p in partitions}
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for partition, batch in (await consumer.getmany(timeout_ms=500)).items():
                records[partition.partition] += [record.value for record in batch]
        return records
    finally:
        await consumer.stop()
