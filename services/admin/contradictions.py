"""Settings that are right one by one and wrong together. Pure.

What deletes or refuses events for sure is refused by the verbs that would carry it out; the doctor
tells these and what is only doubtful.
"""

from libs.settings import KafkaSettings
from services.admin.settings import BROKERS_DEFAULT, RetentionSettings, TopicSettings

# A record is deleted with its segment, which is a day long, or a week in topics of older releases;
# what it left in the table must outlive it, and the day of repeats behind it.
_SLACK_DAYS = 9
# Recovery mends 45 days (services/processor/recovery.py); events are up to 32 days older than their
# record (libs/events/window.py).
_LONGEST_OUTAGE_DAYS = 45 - 32


def of_topics(topics: TopicSettings, kafka: KafkaSettings) -> list[str]:
    """What would let no event be accepted, or lose some."""
    found = []
    # How many the broker makes by itself is known once they are made: then the doctor looks.
    is_known = topics.replication_factor != BROKERS_DEFAULT
    if is_known and topics.min_insync_replicas > topics.replication_factor:
        found.append(
            f"RAGTIME_TOPICS__MIN_INSYNC_REPLICAS: {topics.min_insync_replicas} is more than"
            f" RAGTIME_TOPICS__REPLICATION_FACTOR, {topics.replication_factor}: no event would be"
            " accepted"
        )
    if kafka.events_topic == kafka.dead_letter_topic:
        found.append(
            "RAGTIME_KAFKA__DEAD_LETTER_TOPIC: the same as RAGTIME_KAFKA__EVENTS_TOPIC: dead"
            " letters would be read as events, for ever"
        )
    return found


def of_retention(retention: RetentionSettings, topics: TopicSettings) -> list[str]:
    """What would delete raw events that recovery or the audit still need."""
    least = -(-topics.retention_hours // 24) + _SLACK_DAYS
    if 0 < retention.events_days < least:
        return [
            f"RAGTIME_RETENTION__EVENTS_DAYS: {retention.events_days} is less than the {least} that"
            f" RAGTIME_TOPICS__RETENTION_HOURS, {topics.retention_hours}, needs: records would be"
            " read again that were counted, and count twice"
        ]
    return []


def doubts(topics: TopicSettings, *, replicas: int, has_store: bool, has_pepper: bool) -> list[str]:
    """What works, but hardly as it was meant."""
    found = []
    if topics.min_insync_replicas == topics.replication_factor > 1:
        found.append(
            "RAGTIME_TOPICS__MIN_INSYNC_REPLICAS: as many as RAGTIME_TOPICS__REPLICATION_FACTOR:"
            " one broker that is away stops ingest"
        )
    if topics.retention_hours > _LONGEST_OUTAGE_DAYS * 24:
        found.append(
            f"RAGTIME_TOPICS__RETENTION_HOURS: of records older than {_LONGEST_OUTAGE_DAYS} days"
            " the oldest events lie beyond the 45 days that recovery mends"
        )
    if replicas > 1 and not has_store:
        found.append(
            f"RAGTIME_RATE_LIMIT__STORE_URL: not set, with {replicas} replicas"
            " (RAGTIME_DOCTOR__REPLICAS): each counts its limits by itself"
        )
    if not has_pepper:
        found.append("RAGTIME_ACCESS__PEPPER: not set: no key can be made or looked at from here")
    return found
