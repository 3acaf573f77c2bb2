"""Who may do what in Kafka: the one list of rights, of which docs/operating.md is written.

Operations and resources have Kafka's names. `make documents` writes the table; a test gives users
exactly these rights on a real broker, and does with them what services and commands do.
"""

from dataclasses import dataclass
from enum import StrEnum


class On(StrEnum):
    """What a right is about."""

    EVENTS = "`events`"
    DEAD_LETTERS = "`events.dead-letter`"
    GROUP = "the group"
    CLUSTER = "the cluster"


@dataclass(frozen=True, slots=True)
class KafkaRight:
    """Operations on a resource. In Kafka each that reads or writes includes `Describe`."""

    on: On
    operations: tuple[str, ...]


def _on(on: On, *operations: str) -> KafkaRight:
    return KafkaRight(on, operations)


# Brokers before 2.8 ask for it of whoever writes with an idempotent producer, as all of ours do.
_WRITES_ONCE = _on(On.CLUSTER, "IdempotentWrite")
_LOOKS = ("Read", "Describe", "DescribeConfigs")

# By user. `ragtime` is the command; `doctor` what `ragtime doctor` needs alone.
KAFKA_RIGHTS: dict[str, tuple[KafkaRight, ...]] = {
    "ingest": (_on(On.EVENTS, "Write", "Describe"), _WRITES_ONCE),
    "processor": (
        _on(On.EVENTS, "Read", "Describe"),
        _on(On.DEAD_LETTERS, "Write", "Describe"),
        _on(On.GROUP, "Read"),
        _WRITES_ONCE,
    ),
    "ragtime": (
        # `init` and `topics --apply`; `audit`; `topics adopt` and the replay of dead letters
        _on(On.EVENTS, "Create", "AlterConfigs", *_LOOKS, "Write"),
        _on(On.DEAD_LETTERS, "Create", "AlterConfigs", *_LOOKS),
        _on(On.GROUP, "Describe"),
        _WRITES_ONCE,
    ),
    "doctor": (
        _on(On.EVENTS, *_LOOKS),
        _on(On.DEAD_LETTERS, *_LOOKS),
        _on(On.GROUP, "Describe"),
    ),
}
