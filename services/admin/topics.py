"""Makes the topics, and reads them. Services make none: a typo must not become a topic."""

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterable,
    Mapping,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from libs.events.window import FIRST_APPENDED, first_appended_ms
from libs.kafka.connection import connection
from libs.settings import KafkaSettings
from libs.telemetry.logs import get_logger
from services.admin.settings import BROKERS_DEFAULT, TopicSettings

_RETRY_S = 2.0
_LOOK_AGAIN_S = 0.2
_READ_MS, _PORTION = 2_000, 1_000
_HOUR_MS = 3_600_000
_SET_FOR_TOPIC = 1  # where a value comes from, in Kafka's protocol

log = get_logger()


def topic_configs(kafka: KafkaSettings, settings: TopicSettings) -> dict[str, dict[str, str]]:
    """What Kafka is told of each topic. The append time orders records and dates their ids."""
    common = {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(settings.min_insync_replicas),
        "retention.bytes": str(settings.retention_bytes),
        # Kafka deletes segments: what is too old goes when the youngest record beside it is, too.
        "segment.ms": str(24 * _HOUR_MS),
    }
    events = {"retention.ms": str(settings.retention_hours * _HOUR_MS)}
    # Dead letters are few, and people read them days later.
    letters = {
        "retention.ms": str(settings.dead_letter_retention_hours * _HOUR_MS),
        "max.message.bytes": "4194304",
    }
    return {kafka.events_topic: common | events, kafka.dead_letter_topic: common | letters}


def new_topics(kafka: KafkaSettings, settings: TopicSettings) -> list[NewTopic]:
    """The two topics, as they are made."""
    partitions = {kafka.events_topic: settings.partitions, kafka.dead_letter_topic: 1}
    factor = settings.replication_factor
    # The client takes -1 only beside places of replicas; none of them leaves all to the broker.
    places: dict[int, list[int]] | None = {} if factor == BROKERS_DEFAULT else None
    return [
        NewTopic(name, partitions[name], factor, places, configs)
        for name, configs in topic_configs(kafka, settings).items()
    ]


async def absent_topics(kafka: KafkaSettings, topics: list[NewTopic]) -> list[str]:
    """Those that Kafka would make. Waits for a broker that is not there yet.

    The controller is asked: a broker that has just started may know of no topic.
    """
    return await _create(kafka, topics, validate_only=True)


async def make_topics(kafka: KafkaSettings, topics: list[NewTopic]) -> list[str]:
    """Make what is missing; returns the names made. Waits for a broker that is not there yet."""
    return await _create(kafka, topics, validate_only=False)


async def _create(
    kafka: KafkaSettings, topics: list[NewTopic], *, validate_only: bool
) -> list[str]:
    async with _patient_client(kafka) as client:
        response = await client.create_topics(
            topics, timeout_ms=30_000, validate_only=validate_only
        )
        made = []
        for name, code, *details in response.topic_errors:
            if code == 0:
                made.append(name)
            elif code != TopicAlreadyExistsError.errno:
                raise for_code(code)(f"topic {name}: {details}")
        return made


async def partitions_of(kafka: KafkaSettings) -> int:
    """How many partitions the topic of events has. Raises KafkaError."""
    async with _patient_client(kafka) as client:
        return await known_partitions(client.describe_topics, kafka.events_topic)


async def described_topics(client: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, Any]:
    """The topics that there are, as Kafka describes them. Raises KafkaError.

    It does not tell of one whether it is there when the user may not know it: that is an error.
    """
    found = {}
    for one in await client.describe_topics(list(topics)):
        if one["error_code"] == 0:
            found[one["topic"]] = one
        elif one["error_code"] != UnknownTopicOrPartitionError.errno:
            raise for_code(one["error_code"])(f"topic {one['topic']}")
    return found


async def partition_numbers(client: AIOKafkaAdminClient, topic: str) -> set[int]:
    """The partitions of a topic. Raises KafkaError, also where there is none."""
    found = await described_topics(client, [topic])
    if topic not in found:
        raise UnknownTopicOrPartitionError(f"topic {topic}")
    return {one["partition"] for one in found[topic]["partitions"]}


async def known_partitions(
    describe: Callable[[list[str]], Awaitable[list[Any]]], topic: str, within_s: float = 30.0
) -> int:
    """How many partitions a topic has that was made a moment ago: the broker that is asked may
    learn of it later than the controller. Raises KafkaError.
    """
    ends_at = time.monotonic() + within_s
    while True:
        (described,) = await describe([topic])
        code = described["error_code"]
        if not code:
            return len(described["partitions"])
        if code != UnknownTopicOrPartitionError.errno or time.monotonic() > ends_at:
            raise for_code(code)(topic)
        await asyncio.sleep(_LOOK_AGAIN_S)


@dataclass(frozen=True, slots=True)
class OtherConfig:
    """What Kafka has of a topic otherwise than it is set."""

    topic: str
    name: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.name} is {self.found}, set is {self.wanted}"


async def other_configs(
    client: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]
) -> list[OtherConfig]:
    """What differs, of topics that exist. Raises KafkaError where one does not."""
    return [
        OtherConfig(topic, name, found.get(name, ("", 0))[0], value)
        for topic, configs in wanted.items()
        for found in [await _configs_of(client, topic)]
        for name, value in configs.items()
        if found.get(name, ("", 0))[0] != value
    ]


async def change_configs(
    client: AIOKafkaAdminClient, topic: str, changes: Mapping[str, str]
) -> None:
    """Change some of a topic's configurations. Raises KafkaError."""
    # The request replaces all that is set for the topic: what stays is told once more.
    stays = {
        name: value
        for name, (value, source) in (await _configs_of(client, topic)).items()
        if source == _SET_FOR_TOPIC
    }
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, stays | dict(changes))
    for response in await client.alter_configs([resource]):
        for code, message, *_ in response.resources:
            if code:
                raise for_code(code)(f"topic {topic}: {message}")


async def _configs_of(client: AIOKafkaAdminClient, topic: str) -> dict[str, tuple[str, int]]:
    """Value, and where it comes from, of each configuration of a topic."""
    found: dict[str, tuple[str, int]] = {}
    for response in await client.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic)]
    ):
        for code, message, _, _, entries in response.resources:
            if code:
                raise for_code(code)(f"topic {topic}: {message}")
            found |= {name: (value, source) for name, value, _, source, *_ in entries}
    return found


async def first_record(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int
) -> ConsumerRecord | None:
    """The first record from an offset on; None where there is none soon. Raises KafkaError."""
    consumer.assign([partition])
    consumer.seek(partition, offset)
    found = await consumer.getmany(partition, timeout_ms=_READ_MS, max_records=1)
    return next(iter(found.get(partition, ())), None)


async def check_existence(kafka: KafkaSettings, topic: str) -> None:
    """Raise UnknownTopicOrPartitionError at once where there is none: a reader waits for minutes.

    Raises KafkaError.
    """
    async with reading(kafka) as consumer:
        if topic not in await consumer.topics():
            raise UnknownTopicOrPartitionError(
                f"topic {topic} is not in Kafka, or this user may not see it"
            )


async def offsets_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> range:
    """The offsets that a partition holds. Raises KafkaError."""
    start = (await consumer.beginning_offsets([partition]))[partition]
    return range(start, (await consumer.end_offsets([partition]))[partition])


def first_appended_of(record: ConsumerRecord) -> int:
    """When Kafka took the events of a record first; another topic may have had them before."""
    header = next((value for name, value in record.headers if name == FIRST_APPENDED), None)
    return first_appended_ms(record.timestamp, header)


async def records(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    offsets: range,
    left_out: Container[int] = (),
) -> AsyncGenerator[ConsumerRecord, None]:
    """The records of a partition at these offsets, without some. Raises KafkaError."""
    offset = offsets.start
    while offset < offsets.stop:
        if offset in left_out:
            offset += 1
            continue
        consumer.seek(partition, offset)
        found = await consumer.getmany(partition, timeout_ms=_READ_MS, max_records=_PORTION)
        for record in found.get(partition, ()):
            if record.offset < offsets.stop and record.offset not in left_out:
                yield record
        # Behind the records, or behind what is none: a marker of somebody's transaction.
        behind = await consumer.position(partition)
        if behind <= offset:
            raise KafkaTimeoutError(f"{partition.topic}/{partition.partition} offset {offset}")
        offset = behind


@asynccontextmanager
async def reading(kafka: KafkaSettings, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of whole topics from their beginning, or of none yet; of no group.

    Raises KafkaError.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        **connection(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def admin_client(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that asks about topics and groups. Raises KafkaError when no broker answers."""
    client = AIOKafkaAdminClient(**connection(kafka))
    try:
        await client.start()
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def _patient_client(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = await _connect(kafka)
    try:
        yield client
    finally:
        await client.close()


async def _connect(kafka: KafkaSettings) -> AIOKafkaAdminClient:
    while True:
        client = AIOKafkaAdminClient(**connection(kafka))
        try:
            await client.start()
        except KafkaError as error:
            await client.close()
            log.warning("kafka.waiting", error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)
        else:
            return client
