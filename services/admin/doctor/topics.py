"""The topics: that they are there, and are as they are set and as the table knows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from libs.clickhouse.first_row import first_row_of
from libs.kafka.counted_log import other_logs
from services.admin.doctor.findings import Finding, Status, fail, ok, warn, worst
from services.admin.doctor.installation import Installation
from services.admin.doctor.older_topics import Rest, rests
from services.admin.noted_topics import NotedTopic, counted_places, noted_topic
from services.admin.topics import described_topics, other_configs, reading, topic_configs

# Without these events would be counted wrongly or be refused; else only what is kept differs.
_GRAVE = frozenset({"cleanup.policy", "message.timestamp.type"})
_ADVICE = {
    Status.WARN: "Look at `ragtime topics`, then carry it out with `ragtime topics --apply`.",
    Status.FAIL: "Run `ragtime topics --apply` where a configuration differs; else see"
    ' "Topics" in docs/operating.md.',
}  # fmt: skip

_MAKE = "Run `ragtime init`, which makes it."
_KNOWN = (
    " See whether it is the right cluster, and whether its disk is there;"
    ' "A topic that is another" in docs/operating.md says what to do where it is lost.'
)
_LOST = f"Events were counted from it.{_KNOWN}"
_NOTED = f"It was made before, as the table `topics` knows.{_KNOWN}"
_OTHER = (
    "It was made anew, or a broker lost its disk. These partitions are not counted, the others"
    ' are: see "A topic that is another" in docs/operating.md.'
)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as Kafka describes it: how many brokers have each partition, and are in sync."""

    name: str
    replicas: list[int]
    in_sync: list[int]

    def troubles(self, brokers: int, min_in_sync: int) -> list[tuple[Status, str]]:
        """What is wrong with its copies."""
        fewest, copies = min(self.in_sync), min(self.replicas)
        if min_in_sync > copies:
            what = f"min.insync.replicas is {min_in_sync}, of {copies} replicas"
            return [(Status.FAIL, f"{self.name}: {what}: nothing can be written")]
        if fewest < min_in_sync:
            what = f"a partition has {fewest} replicas in sync, of {min_in_sync} that must be"
            return [(Status.FAIL, f"{self.name}: {what}: nothing can be written to it")]
        if fewest < copies:
            return [(Status.WARN, f"{self.name}: a partition has {fewest} of {copies} replicas")]
        if copies == 1 < brokers:
            what = f"one replica, with {brokers} brokers: a lost disk loses events"
            return [(Status.WARN, f"{self.name}: {what}")]
        return []


async def topics(installation: Installation) -> Finding:
    """Both topics are there and as they should be."""
    settings = installation.settings
    client = await installation.kafka()
    wanted = topic_configs(settings.kafka, settings.topics)
    described = await described_topics(client, wanted)
    missing = [name for name in wanted if name not in described]
    found = [_topic(one) for one in described.values()]
    noted = await noted_topic(await installation.clickhouse(), settings.kafka.events_topic)
    differing = await _other_logs(installation, found, noted)
    if differing:  # whatever else: nothing is mended before that
        return fail("; ".join(differing), "what was counted from it", _OTHER)
    if missing:
        return await _missing(installation, missing, noted)
    brokers = len((await client.describe_cluster())["brokers"])
    others = await other_configs(client, wanted)
    troubles = [
        (Status.FAIL if other.name in _GRAVE else Status.WARN, str(other)) for other in others
    ]
    is_other = {other.topic: other.found for other in others if other.name == "min.insync.replicas"}
    for topic in found:
        least = int(is_other.get(topic.name, settings.topics.min_insync_replicas))
        troubles += topic.troubles(brokers, least)
    troubles += _other_partitions(settings.kafka.events_topic, found, noted)
    older = await rests(await installation.clickhouse(), client, settings.kafka)
    return judge(found, troubles, [rest for rest in older if rest.status is not Status.OK])


async def _missing(installation: Installation, missing: list[str], noted: NotedTopic) -> Finding:
    name, client = installation.settings.kafka.events_topic, await installation.clickhouse()
    is_counted = bool(await counted_places(client, noted.counted_as))
    advice = advice_for_missing(name in missing, noted, is_counted=is_counted)
    return fail(f"not there: {', '.join(missing)}", "both topics", advice)


def advice_for_missing(of_events: bool, noted: NotedTopic, *, is_counted: bool) -> str:
    """What to do where the topic of events, or that of dead letters alone, is not there.

    `noted`: what the tables say of that of events.
    """
    if of_events and is_counted:
        return _LOST
    return _NOTED if of_events and noted.partitions is not None else _MAKE


def _topic(described: dict[str, Any]) -> Topic:
    partitions = described["partitions"]
    return Topic(
        described["topic"],
        [len(partition["replicas"]) for partition in partitions],
        [len(partition["isr"]) for partition in partitions],
    )


def _other_partitions(name: str, found: list[Topic], noted: NotedTopic) -> list[tuple[Status, str]]:
    number = next(len(topic.replicas) for topic in found if topic.name == name)
    if noted.partitions == number:
        return []
    if noted.partitions is None:
        return [(Status.WARN, f"{name}: the table `topics` does not know it")]
    what = f"{number} partitions, made with {noted.partitions}: nothing is counted"
    return [(Status.FAIL, f"{name}: {what}")]


async def _other_logs(
    installation: Installation, found: list[Topic], noted: NotedTopic
) -> list[str]:
    """A sentence for each partition that does not hold the record that was counted last."""
    kafka, client = installation.settings.kafka, await installation.clickhouse()
    name = kafka.events_topic
    number = sum(len(topic.replicas) for topic in found if topic.name == name)
    places = await counted_places(client, noted.counted_as)
    places = {partition: last for partition, last in places.items() if partition < number}
    if not places:
        return []
    async with reading(kafka) as consumer:
        consumer.assign([TopicPartition(name, partition) for partition in places])
        first_row = first_row_of(client, noted.counted_as)
        return list((await other_logs(consumer, name, places, first_row)).values())


def judge(
    found: list[Topic], troubles: list[tuple[Status, str]], older: Sequence[Rest] = ()
) -> Finding:
    """What to say of the topics, of what is wrong with them, and of what older ones have left."""
    seen = ", ".join(
        f"{topic.name}: partitions {len(topic.replicas)}, replicas {min(topic.replicas)}"
        for topic in found
    )
    if not troubles and not older:
        return ok(seen)
    told, advice = [what for _, what in troubles], [rest.advice for rest in older]
    statuses = [status for status, _ in troubles]
    if troubles:
        advice.insert(0, _ADVICE[worst(statuses)])
    tell = fail if worst([*statuses, *(rest.status for rest in older)]) is Status.FAIL else warn
    expected = "as it is set, and nothing uncounted in an older one" if older else "as it is set"
    return tell("; ".join([*told, *map(str, older)]), expected, " ".join(advice))
