"""Makes the topics, and reads them. Services make none: a typo must not become a topic."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.settings import KafkaSettings
from libs.telemetry.logs import get_logger
from services.admin.settings import TopicSettings

_RETRY_S = 2.0

_NOTED = "SELECT partitions FROM topics FINAL WHERE name = {topic:String}"
_NOTE = """
INSERT INTO topics
SELECT {topic:String}, {partitions:UInt16}, now64(3)
WHERE (SELECT count() FROM topics WHERE name = {topic:String}) = 0
"""

log = get_logger()


def new_topics(kafka: KafkaSettings, settings: TopicSettings) -> list[NewTopic]:
    """The two topics. The append time orders a partition's records and dates their ids."""
    common = {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(settings.min_insync_replicas),
        "retention.ms": str(settings.retention_hours * 3_600_000),
        "retention.bytes": str(settings.retention_bytes),
    }
    # Dead letters are few, and people read them days later.
    kept = common | {"retention.ms": str(30 * 24 * 3_600_000), "max.message.bytes": "4194304"}
    return [
        NewTopic(
            kafka.events_topic, settings.partitions, settings.replication_factor, None, common
        ),
        NewTopic(kafka.dead_letter_topic, 1, settings.replication_factor, None, kept),
    ]


async def make_topics(kafka: KafkaSettings, topics: list[NewTopic]) -> list[str]:
    """Make what is missing; returns the names made. Waits for a broker that is not there yet."""
    client = await _connect(kafka)
    try:
        response = await client.create_topics(topics, timeout_ms=30_000)
        made = []
        for name, code, *details in response.topic_errors:
            if code == 0:
                made.append(name)
            elif code != TopicAlreadyExistsError.errno:
                raise for_code(code)(f"topic {name}: {details}")
        return made
    finally:
        await client.close()


async def partitions_of(kafka: KafkaSettings) -> int:
    """How many partitions the topic of events has. Raises KafkaError."""
    client = await _connect(kafka)
    try:
        (topic,) = await client.describe_topics([kafka.events_topic])
        if topic["error_code"]:
            raise for_code(topic["error_code"])(kafka.events_topic)
        return len(topic["partitions"])
    finally:
        await client.close()


@asynccontextmanager
async def reading(kafka: KafkaSettings, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of a whole topic from its beginning, of no group. Raises KafkaError."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def note_partitions(client: AsyncClient, topic: str, partitions: int) -> int:
    """Note how many partitions a new topic was made with; returns what was noted first."""
    parameters = {"topic": topic, "partitions": partitions}
    await client.command(_NOTE, parameters=parameters)
    result = await client.query(_NOTED, parameters=parameters)
    return int(result.result_rows[0][0])


async def _connect(kafka: KafkaSettings) -> AIOKafkaAdminClient:
    while True:
        client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        try:
            await client.start()
        except KafkaError as error:
            await client.close()
            log.warning("kafka.waiting", error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)
        else:
            return client
