"""What Kafka says of topics and groups, also where it learns of them later, or may not tell."""

from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupIdNotFound,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from services.admin.groups import group_of
from services.admin.topics import described_topics, known_partitions, partition_numbers

UNKNOWN = {"error_code": UnknownTopicOrPartitionError.errno, "partitions": []}
REFUSED = {"error_code": TopicAuthorizationFailedError.errno, "partitions": []}
KNOWN = {"error_code": 0, "partitions": [{}, {}, {}]}


class Broker:
    """Answers so, one after the other, and then the last again."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)

    async def describe(self, names: list[str]) -> list[Any]:
        assert names == ["events"]
        return [self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]]


async def test_partitions_are_told_when_the_broker_learns_of_the_topic_later() -> None:
    broker = Broker(UNKNOWN, UNKNOWN, KNOWN)
    assert await known_partitions(broker.describe, "events") == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [(UNKNOWN, UnknownTopicOrPartitionError), (REFUSED, TopicAuthorizationFailedError)],
)
async def test_topic_that_nobody_tells_of_is_an_error(
    answer: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await known_partitions(Broker(answer).describe, "events", within_s=0.3)


@dataclass
class Groups:
    groups: list[tuple[Any, ...]]


class Admin:
    """A client of an administrator, who is told one code of all topics and groups."""

    def __init__(self, code: int) -> None:
        self._code = code

    async def describe_topics(self, names: list[str]) -> list[Any]:
        partitions = [] if self._code else [{"partition": 0}, {"partition": 1}]
        return [
            {"topic": name, "error_code": self._code, "partitions": partitions} for name in names
        ]

    async def describe_consumer_groups(self, names: list[str]) -> list[Any]:
        state, members = ("Dead", []) if self._code else ("Stable", ["a member"])
        return [Groups([(self._code, name, state, "consumer", "range", members)]) for name in names]


async def test_topic_that_may_not_be_seen_is_an_error_and_not_missing() -> None:
    there, missing = Admin(0), Admin(UnknownTopicOrPartitionError.errno)
    assert list(await described_topics(there, ["a", "b"])) == ["a", "b"]
    assert await partition_numbers(there, "a") == {0, 1}
    assert await described_topics(missing, ["a"]) == {}
    with pytest.raises(UnknownTopicOrPartitionError, match="topic a"):
        await partition_numbers(missing, "a")
    with pytest.raises(TopicAuthorizationFailedError, match="topic a"):
        await described_topics(Admin(TopicAuthorizationFailedError.errno), ["a"])


async def test_group_that_may_not_be_seen_is_an_error_and_not_empty() -> None:
    assert await group_of(Admin(0), "g") == ("Stable", ["a member"])
    assert await group_of(Admin(GroupIdNotFound.errno), "g") == ("Dead", [])
    with pytest.raises(GroupAuthorizationFailedError, match="group g"):
        await group_of(Admin(GroupAuthorizationFailedError.errno), "g")
