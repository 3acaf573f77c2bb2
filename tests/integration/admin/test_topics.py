"""The topics, made at a real Kafka."""

import uuid

import pytest

from libs.settings import KafkaSettings
from services.admin.settings import BROKERS_DEFAULT, TopicSettings
from services.admin.topics import (
    admin_client,
    make_topics,
    new_topics,
    other_configs,
    topic_configs,
)
from tests.servers import Servers

pytestmark = pytest.mark.integration


async def test_topics_are_as_the_broker_makes_them_when_the_factor_is_left_to_it(
    real_servers: Servers,
) -> None:
    names = [f"test-default-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    kafka = KafkaSettings(
        bootstrap_servers=real_servers.kafka, events_topic=names[0], dead_letter_topic=names[1]
    )
    settings = TopicSettings(replication_factor=BROKERS_DEFAULT, partitions=3)
    assert sorted(await make_topics(kafka, new_topics(kafka, settings))) == sorted(names)
    async with admin_client(kafka) as client:
        described = {one["topic"]: one["partitions"] for one in await client.describe_topics(names)}
        assert [len(described[name]) for name in names] == [3, 1]
        # The tests' broker is alone, and its default is 1.
        assert {len(one["replicas"]) for found in described.values() for one in found} == {1}
        assert await other_configs(client, topic_configs(kafka, settings)) == []
        await client.delete_topics(names)
