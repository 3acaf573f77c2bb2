"""Where in a partition's log each of its leaders began to write: Kafka's leader epochs.

A partition gets a new epoch with each leader, also where a broker comes back from a crash. A log
loses its end at such a change alone: what was lost and written anew lies behind an epoch's start.
aiokafka sends neither of the two requests, and does not notice such a loss by itself (KIP-320).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    LeaderNotAvailableError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Int64, Schema, String

# A rolling restart of three brokers makes four. Older ones were looked through when they were new.
_MOST_STARTS = 8
_LATEST = -1
_CONSUMER = -1  # in the place of a replica's number
_ANY_EPOCH = -1
# Of brokers that do not know the request after all, or a log in a format of before Kafka 0.11.
_NEVER_TOLD = frozenset({UnsupportedVersionError.errno, UnsupportedForMessageFormatError.errno})


def _by_topic(*fields: tuple[str, Any]) -> tuple[str, Any]:
    return ("topics", Array(("topic", String("utf-8")), ("partitions", Array(*fields))))


class _ListOffsetsResponse(Response):  # type: ignore[misc]
    API_KEY = 2
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        _by_topic(
            ("partition", Int32),
            ("error_code", Int16),
            ("timestamp", Int64),
            ("offset", Int64),
            ("leader_epoch", Int32),
        ),
    )


class _ListOffsetsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 2
    API_VERSION = 4
    RESPONSE_TYPE = _ListOffsetsResponse
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("isolation_level", Int8),
        _by_topic(("partition", Int32), ("current_leader_epoch", Int32), ("timestamp", Int64)),
    )


class _ListOffsets(Request[_ListOffsetsStruct]):  # type: ignore[misc]
    """Asks for the ends of partitions, which tell the leaders' epochs as well."""

    API_KEY = 2

    def __init__(self, topic: str, numbers: Iterable[int]) -> None:
        self._topics = [(topic, [(number, _ANY_EPOCH, _LATEST) for number in numbers])]

    def build(self, struct: type[_ListOffsetsStruct]) -> _ListOffsetsStruct:
        return struct(_CONSUMER, 0, self._topics)


class _EpochEndsResponse(Response):  # type: ignore[misc]
    API_KEY = 23
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        _by_topic(
            ("error_code", Int16),
            ("partition", Int32),
            ("leader_epoch", Int32),
            ("end_offset", Int64),
        ),
    )


class _EpochEndsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 23
    API_VERSION = 3
    RESPONSE_TYPE = _EpochEndsResponse
    SCHEMA = Schema(
        ("replica_id", Int32),
        _by_topic(("partition", Int32), ("current_leader_epoch", Int32), ("leader_epoch", Int32)),
    )


class _EpochEnds(Request[_EpochEndsStruct]):  # type: ignore[misc]
    """Asks behind which offset epochs of partitions ended (OffsetForLeaderEpoch)."""

    API_KEY = 23

    def __init__(self, topic: str, epochs: Mapping[int, int]) -> None:
        asked = [(number, _ANY_EPOCH, epoch) for number, epoch in epochs.items()]
        self._topics = [(topic, asked)]

    def build(self, struct: type[_EpochEndsStruct]) -> _EpochEndsStruct:
        return struct(_CONSUMER, self._topics)


async def latest_epochs(
    consumer: AIOKafkaConsumer, topic: str, numbers: Iterable[int]
) -> dict[int, int]:
    """The epoch of the leader that each of these partitions has now; one request a leader.

    `consumer`: knows the topic. Empty where brokers do not tell epochs. Raises KafkaError.
    """
    found: dict[int, int] = {}
    for leader, those in _by_leader(consumer, topic, numbers).items():
        answers = await _ask(consumer, leader, _ListOffsets(topic, those))
        found |= {number: epoch for number, code, *_, epoch in answers if _is_told(code)}
    return {number: epoch for number, epoch in found.items() if epoch >= 0}


async def epoch_starts(
    consumer: AIOKafkaConsumer, topic: str, log_starts: Mapping[int, int]
) -> dict[int, list[int]]:
    """The offsets at which leaders of partitions began to write: the latest eight, those first.

    `log_starts`: where the log of each partition begins. What began there or before is left out,
    but 0 is always told: a log may have been lost as a whole. No others where brokers do not tell.
    Raises KafkaError.
    """
    starts: dict[int, list[int]] = {number: [] for number in log_starts}
    asked = _before(await latest_epochs(consumer, topic, log_starts))
    for _ in range(_MOST_STARTS):
        if not asked:
            break
        found: dict[int, int] = {}
        for leader, those in _by_leader(consumer, topic, asked).items():
            request = _EpochEnds(topic, {number: asked[number] for number in those})
            for code, number, epoch, end in await _ask(consumer, leader, request):
                if _is_told(code) and end > log_starts[number]:
                    starts[number].append(end)
                    found[number] = epoch
        asked = _before(found)
    for number, log_start in log_starts.items():
        starts[number] += [0] if log_start == 0 else []
    return starts


def _before(epochs: Mapping[int, int]) -> dict[int, int]:
    """The epochs before these, where there can be any."""
    return {number: epoch - 1 for number, epoch in epochs.items() if epoch > 0}


def _by_leader(
    consumer: AIOKafkaConsumer, topic: str, numbers: Iterable[int]
) -> Mapping[int, list[int]]:
    cluster = consumer._client.cluster  # noqa: SLF001 - there is no public way
    found: defaultdict[int, list[int]] = defaultdict(list)
    for number in numbers:
        leader = cluster.leader_for_partition(TopicPartition(topic, number))
        if leader is None or leader < 0:
            raise LeaderNotAvailableError(f"{topic}/{number}")
        found[leader].append(number)
    return found


async def _ask(consumer: AIOKafkaConsumer, leader: int, request: Any) -> list[Any]:  # noqa: ANN401
    """What a leader answers, a tuple a partition; nothing where it does not know the request."""
    try:
        response = await consumer._client.send(leader, request)  # noqa: SLF001
    except (IncompatibleBrokerVersion, NotImplementedError):
        return []
    return [answer for _, answers in response.topics for answer in answers]


def _is_told(code: int) -> bool:
    """Whether an answer is one; not where a broker never gives any. Raises KafkaError."""
    if code and code not in _NEVER_TOLD:
        raise for_code(code)
    return code == 0
