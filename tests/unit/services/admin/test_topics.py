"""How many partitions a topic has, also where a broker learns of it a moment later."""

from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from services.admin.topics import known_partitions

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
