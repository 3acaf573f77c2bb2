"""Settings that are right one by one and wrong together."""

import pytest
from pydantic import ValidationError

from libs.settings import KafkaSettings
from services.admin.contradictions import doubts, of_retention, of_topics
from services.admin.settings import RetentionSettings, TopicSettings
from services.admin.topics import new_topics

KAFKA = KafkaSettings(bootstrap_servers="k:1")


def test_defaults_contradict_nothing() -> None:
    assert of_topics(TopicSettings(), KAFKA) == []
    assert of_retention(RetentionSettings(), TopicSettings()) == []
    assert doubts(TopicSettings(), replicas=1, has_store=False, has_pepper=True) == []


@pytest.mark.parametrize("days", [1, 59])
def test_retention_is_refused_when_recovery_needs_more(days: int) -> None:
    with pytest.raises(ValidationError, match="at least 60"):
        RetentionSettings(events_days=days)


def test_retention_is_a_contradiction_when_kafka_keeps_records_longer() -> None:
    topics = TopicSettings(retention_hours=60 * 24)
    (found,) = of_retention(RetentionSettings(events_days=60), topics)
    assert found.startswith("RAGTIME_RETENTION__EVENTS_DAYS: 60 is less than the 69 that")
    assert of_retention(RetentionSettings(events_days=69), topics) == []
    assert of_retention(RetentionSettings(events_days=0), topics) == []


def test_topics_are_a_contradiction_when_no_event_could_be_accepted() -> None:
    (found,) = of_topics(TopicSettings(min_insync_replicas=2), KAFKA)
    assert found.startswith("RAGTIME_TOPICS__MIN_INSYNC_REPLICAS: 2 is more than")


def test_in_sync_replicas_contradict_nothing_when_the_broker_decides_how_many_there_are() -> None:
    topics = TopicSettings(replication_factor=-1, min_insync_replicas=2)
    assert of_topics(topics, KAFKA) == []
    assert doubts(topics, replicas=1, has_store=False, has_pepper=True) == []
    assert {topic.replication_factor for topic in new_topics(KAFKA, topics)} == {-1}


@pytest.mark.parametrize("factor", [-2, 0, 10])
def test_factor_is_refused_when_no_topic_can_have_it(factor: int) -> None:
    with pytest.raises(ValidationError, match="replication_factor"):
        TopicSettings(replication_factor=factor)


def test_topics_are_a_contradiction_when_both_are_one() -> None:
    same = KafkaSettings(bootstrap_servers="k:1", events_topic="a", dead_letter_topic="a")
    (found,) = of_topics(TopicSettings(), same)
    assert found.startswith("RAGTIME_KAFKA__DEAD_LETTER_TOPIC: the same as")


@pytest.mark.parametrize(
    ("topics", "replicas", "has_pepper", "name"),
    [
        (TopicSettings(), 2, True, "RAGTIME_RATE_LIMIT__STORE_URL"),
        (TopicSettings(), 1, False, "RAGTIME_ACCESS__PEPPER"),
        (TopicSettings(retention_hours=14 * 24), 1, True, "RAGTIME_TOPICS__RETENTION_HOURS"),
        (
            TopicSettings(replication_factor=3, min_insync_replicas=3),
            1,
            True,
            "RAGTIME_TOPICS__MIN_INSYNC_REPLICAS",
        ),
    ],
)
def test_doubt_names_the_setting_when_it_is_hardly_meant(
    topics: TopicSettings, replicas: int, name: str, *, has_pepper: bool
) -> None:
    (found,) = doubts(topics, replicas=replicas, has_store=False, has_pepper=has_pepper)
    assert found.startswith(f"{name}: ")
