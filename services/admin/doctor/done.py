"""Up to which offset each partition is done, as the processor would find it.

The rows say so, and the group's offsets alone do not: tables that came back from an older backup
end before them, and there the processor goes on. Behind its last row a partition may hold records
that are done and left none, of repeats or dead letters: of these the group knows.
"""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.kafka.last_record import LastRecord
from services.admin.audit_topic import AuditedTopic
from services.admin.doctor.installation import Installation
from services.admin.groups import committed_offsets
from services.admin.noted_topics import counted_places, noted_topic

# Where rows are gone, the records right behind the last one that is left have had some.
_MOST_RECORDS = 1_000


async def done_offsets(
    installation: Installation,
    consumer: AIOKafkaConsumer,
    held: Mapping[TopicPartition, range],
) -> dict[TopicPartition, int]:
    """The offset behind what is done of each partition, where that is known.

    `held`: the offsets that Kafka holds. `consumer`: of no topic; what it is assigned to changes.
    Raises the drivers' errors.
    """
    kafka, client = installation.settings.kafka, await installation.clickhouse()
    group = installation.settings.group.name
    committed = await committed_offsets(await installation.kafka(), group)
    counted_as = (await noted_topic(client, kafka.events_topic)).counted_as
    places = await counted_places(client, counted_as)
    topic = AuditedTopic(consumer, client, kafka, counted_as, every_record=True)
    found = {}
    for one, offsets in held.items():
        last = places.get(one.partition)
        behind = without_rows(last, committed.get(one, 0), offsets)
        consumer.assign([one])
        if behind and await topic.first_missing(one.partition, behind[:_MOST_RECORDS]):
            found[one] = behind.start
        elif last is not None or one in committed:
            found[one] = max(committed.get(one, 0), _behind(last))
    return found


def without_rows(last: LastRecord | None, committed: int, held: range) -> range:
    """What is done by the group's word alone, of what Kafka holds."""
    start = max(_behind(last), held.start)
    return range(start, max(start, min(committed, held.stop)))


def _behind(last: LastRecord | None) -> int:
    return 0 if last is None else last.offset + 1
