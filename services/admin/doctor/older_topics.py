"""Topics that events came through before the present one: whether some of theirs are not counted.

Who moved to a new topic may have left events behind that were answered 202. Nobody counts them
until they are carried over, and Kafka deletes them by their age.
"""

from contextlib import aclosing
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.first_row import first_row_of
from libs.settings import KafkaSettings
from services.admin.adoption import Line, behind, lines_of, without_rows
from services.admin.doctor.findings import Status
from services.admin.noted_topics import counted_places, noted_names, noted_topic
from services.admin.topics import reading, records

# Of each topic, so that it takes no longer than a check may: what lies behind is not known.
_MOST_EVENTS = 5_000
_PORTION = 1_000  # events: of so many one question is asked


@dataclass(slots=True)
class Rest:
    """What an older topic holds behind what was counted of it.

    `uncounted`: events without a row, not even as another copy. `unread`: records that were not
    looked at.
    """

    topic: str
    uncounted: int = 0
    unread: int = 0

    @property
    def status(self) -> Status:
        if self.uncounted:
            return Status.FAIL
        return Status.WARN if self.unread else Status.OK

    def __str__(self) -> str:
        more = f"{self.unread} records behind what was counted were not looked at"
        if not self.uncounted:
            return f"older topic {self.topic}: {more}"
        told = f"older topic {self.topic}: {self.uncounted} events are not counted"
        return f"{told}, {more}" if self.unread else told

    @property
    def advice(self) -> str:
        return (
            f"Run `ragtime topics adopt {self.topic}`: it tells what of it is not counted, and with"
            " `--apply` carries that over. Delete the topic when it says `0 events`, or when what"
            " it says has become dead letters."
        )


async def rests(
    client: AsyncClient, admin: AIOKafkaAdminClient, kafka: KafkaSettings
) -> list[Rest]:
    """Of each older topic that Kafka has and this user may see. Raises the drivers' errors."""
    names = [name for name in await noted_names(client) if name != kafka.events_topic]
    if not names:
        return []
    there = {
        one["topic"]: sorted(partition["partition"] for partition in one["partitions"])
        for one in await admin.describe_topics(names)
        if one["error_code"] == 0
    }
    async with reading(kafka) as consumer:
        return [await _rest(client, consumer, name, there[name]) for name in sorted(there)]


async def _rest(
    client: AsyncClient, consumer: AIOKafkaConsumer, topic: str, numbers: list[int]
) -> Rest:
    rest, left = Rest(topic), _MOST_EVENTS
    counted_as = (await noted_topic(client, topic)).counted_as
    places, first_row = await counted_places(client, counted_as), first_row_of(client, counted_as)
    for number in numbers:
        partition = TopicPartition(topic, number)
        consumer.assign([partition])
        offsets, _ = await behind(consumer, partition, places.get(number), first_row)
        lines, unread = await _read(consumer, partition, offsets, left)
        left -= len(lines)
        rest.unread += unread
        rest.uncounted += await _uncounted(client, lines)
    return rest


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offsets: range, most: int
) -> tuple[list[Line], int]:
    """The lines of some records, hardly more than so many; and how many records are behind."""
    if most <= 0:
        return [], len(offsets)
    lines: list[Line] = []
    async with aclosing(records(consumer, partition, offsets)) as found:
        async for record in found:
            lines += lines_of(record)
            if len(lines) >= most:
                return lines, offsets.stop - record.offset - 1
    return lines, 0


async def _uncounted(client: AsyncClient, lines: list[Line]) -> int:
    """How many of these lines are events that no row is of."""
    events = [line for line in lines if line.event]
    found = 0
    for start in range(0, len(events), _PORTION):
        found += len(await without_rows(client, events[start : start + _PORTION]))
    return found
