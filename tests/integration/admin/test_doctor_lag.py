"""What waits goes by the rows, and where records left none, by the group."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.codec import encode_event, join_lines
from libs.events.models import AnyEvent
from libs.settings import ClickHouseSettings, ConsumerGroup, KafkaSettings
from services.admin.doctor import progress
from services.admin.doctor.done import without_rows
from services.admin.doctor.findings import Finding, Status
from services.admin.doctor.installation import Installation
from services.admin.settings import DoctorSettings, DoctorThresholds
from services.processor.batch import Record
from tests.integration.ingest.topics import new_topic
from tests.integration.processor.agents import agent_of, message
from tests.servers import Servers

pytestmark = pytest.mark.integration


@dataclass
class World:
    """A topic of one partition, the tables, and a group that says what it has done."""

    client: AsyncClient
    settings: DoctorSettings

    @property
    def _partition(self) -> TopicPartition:
        return TopicPartition(self.settings.kafka.events_topic, 0)

    async def write(self, *events: AnyEvent | bytes) -> Record:
        value = join_lines(one if isinstance(one, bytes) else encode_event(one) for one in events)
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await producer.start()
        written = await producer.send_and_wait(self._partition.topic, value, partition=0)
        await producer.stop()
        return Record(0, written.offset, written.timestamp, value)

    async def count(self, *counted: Record) -> None:
        agent = agent_of(self.client, topic=self._partition.topic, number_of_partitions=1)
        await agent.take_over({0})
        await agent.process(list(counted))

    async def commit(self, offset: int) -> None:
        """The group says that all before this offset is done."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            group_id=self.settings.group.name,
            enable_auto_commit=False,
        )
        await consumer.start()
        consumer.assign([self._partition])
        await consumer.commit({self._partition: offset})
        await consumer.stop()

    async def lag(self) -> Finding:
        async with AsyncExitStack() as closing:
            looked_at = Installation(self.settings, closing)
            closing.push_async_callback(looked_at.give_up)
            return await progress.lag(looked_at)


@pytest.fixture
async def world(
    real_servers: Servers, clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> AsyncIterator[World]:
    async with new_topic(real_servers.kafka, 1) as name:
        settings = DoctorSettings(
            kafka=KafkaSettings(
                bootstrap_servers=real_servers.kafka,
                events_topic=name,
                dead_letter_topic=f"{name}-letters",
            ),
            clickhouse=clickhouse_settings,
            group=ConsumerGroup(name=name),
            doctor=DoctorThresholds(max_lag_s=0.001),
        )
        yield World(clickhouse, settings)


async def test_events_wait_when_tables_of_an_older_backup_do_not_hold_them(world: World) -> None:
    first = await world.write(message("a"))
    for name in ("b", "c"):
        await world.write(message(name))
    await world.count(first)
    await world.commit(3)

    found = await world.lag()

    assert found.status is Status.FAIL
    assert "2 records wait" in found.seen
    assert "standing still" in found.seen


async def test_events_wait_when_tables_hold_none_though_the_group_is_done(world: World) -> None:
    await world.write(message("a"))
    await world.commit(1)
    assert "1 records wait" in (await world.lag()).seen


async def test_nothing_waits_when_records_left_no_row_and_the_group_is_done(world: World) -> None:
    day = datetime.now(UTC).isoformat()
    counted = [await world.write(message("a", occurred_at=day)) for _ in range(2)]
    counted.append(await world.write(b"no event"))
    await world.count(*counted)
    await world.commit(3)

    found = await world.lag()

    assert (found.status, found.seen) == (Status.OK, "nothing waits")


async def test_nothing_waits_when_the_rows_say_so_and_the_group_has_forgotten(world: World) -> None:
    await world.count(await world.write(message("a")))
    assert (await world.lag()).seen == "nothing waits"


def test_records_without_rows_are_those_between_the_rows_and_the_groups_word() -> None:
    assert without_rows(None, 7, range(3, 9)) == range(3, 7)
    assert not without_rows(None, 7, range(8, 9))
    assert not without_rows(None, 0, range(9))
