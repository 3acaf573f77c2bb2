"""Whether what is accepted gets counted: the members of the group, and what waits for them."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.admin.doctor.done import done_offsets
from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.groups import group_of, owned_partitions
from services.admin.topics import first_record, partition_numbers, reading
from services.admin.words import age, listed

_LOOKS, _PAUSE_S = 4, 1.0


async def processors(installation: Installation) -> Finding:
    """Each partition has a processor."""
    settings = installation.settings
    client = await installation.kafka()
    partitions = await partition_numbers(client, settings.kafka.events_topic)
    for _ in range(_LOOKS):  # a rebalance takes a moment
        state, members = await _group(installation)
        owned = owned_partitions(members, settings.kafka.events_topic)
        if members and not partitions - owned:
            return ok(f"{len(members)} in group {settings.group.name}, {len(owned)} partitions")
        if not members:
            break
        await asyncio.sleep(_PAUSE_S)
    unowned = listed([str(number) for number in sorted(partitions - owned)])
    return fail(
        f"group {settings.group.name}: {len(members)} processors ({state or 'unknown'});"
        f" partitions without one: {unowned}",
        "at least one, that owns all partitions",
        "Start a processor; if one runs, see its log for the reason why it is no member.",
    )


async def members_of_group(installation: Installation) -> list[Any]:
    """The members of the consumer group. Raises KafkaError."""
    _, members = await _group(installation)
    return members


async def _group(installation: Installation) -> tuple[str, list[Any]]:
    return await group_of(await installation.kafka(), installation.settings.group.name)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a partition holds that is not done. `lost`: deleted before it was done.

    `beyond`: by how much more is done than there is.
    """

    partition: int
    records: int
    oldest_s: float
    lost: int
    is_moving: bool
    beyond: int = 0

    def __str__(self) -> str:
        if self.beyond:
            return f"partition {self.partition} ends {self.beyond} records before what was counted"
        lost = f", {self.lost} records deleted before they were counted" if self.lost else ""
        if not self.records:
            return f"partition {self.partition}{lost}"
        how = "getting on" if self.is_moving else "standing still"
        oldest = f"the oldest {age(self.oldest_s)} old"
        return f"partition {self.partition}: {self.records} records, {oldest}, {how}{lost}"


async def lag(installation: Installation) -> Finding:
    """What is in Kafka is counted soon."""
    kafka, client = installation.settings.kafka, await installation.kafka()
    async with reading(kafka) as consumer:
        numbers = await partition_numbers(client, kafka.events_topic)
        all_ = [TopicPartition(kafka.events_topic, number) for number in sorted(numbers)]
        starts, ends = await consumer.beginning_offsets(all_), await consumer.end_offsets(all_)
        held = {one: range(starts[one], ends[one]) for one in all_}
        done = await done_offsets(installation, consumer, held)
        ends = await consumer.end_offsets(all_)  # after what is done: it may not look like more
        next_ = {one: max(done.get(one, 0), starts[one]) for one in all_}
        behind = [one for one in all_ if ends[one] > next_[one]]
        lost = [one for one in all_ if starts[one] > done.get(one, starts[one])]
        cut = [one for one in all_ if ends[one] < done.get(one, 0)]
        oldest = {one: await _appended_s(consumer, one, next_[one]) for one in behind}
        if behind:
            await asyncio.sleep(_PAUSE_S)
        later = await done_offsets(installation, consumer, held) if behind else done
    return judge(
        [
            Waiting(
                partition=one.partition,
                records=max(0, ends[one] - next_[one]),
                oldest_s=max(0.0, time.time() - oldest[one]) if one in oldest else 0.0,
                lost=starts[one] - done[one] if one in lost else 0,
                is_moving=later.get(one, 0) > done.get(one, 0),
                beyond=max(0, done.get(one, 0) - ends[one]),
            )
            for one in all_
            if one in behind or one in lost or one in cut
        ],
        installation.settings.doctor.max_lag_s,
    )


def judge(found: list[Waiting], most_s: float) -> Finding:
    """What to say of what waits."""
    if not found:
        return ok("nothing waits")
    if cut := [one for one in found if one.beyond]:
        return fail(
            "; ".join(map(str, cut)),
            "a topic that holds what was counted from it, or has forgotten it by its retention",
            'It was made anew, or a broker lost its disk: see "Topics" in docs/operating.md.',
        )
    oldest = max(found, key=lambda one: one.oldest_s)
    total = f"{sum(one.records for one in found)} records wait, the oldest for"
    seen = f"{total} {age(oldest.oldest_s)}"
    late = [one for one in found if one.oldest_s > most_s or one.lost]
    if not late:
        return ok(seen)
    tell = warn if all(one.is_moving and not one.lost for one in late) else fail
    return tell(
        f"{seen}: {'; '.join(map(str, late))}",
        f"no record older than {most_s:g} s",
        "See the processors' logs and readiness; where they get on, add processors or CPU.",
    )


async def _appended_s(consumer: AIOKafkaConsumer, one: TopicPartition, offset: int) -> float:
    """When Kafka took the first record from an offset on; now where it holds none."""
    record = await first_record(consumer, one, offset)
    return time.time() if record is None else float(record.timestamp) / 1000
