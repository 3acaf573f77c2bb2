"""The settings of the command: ClickHouse's user here may do everything."""

import os
from getpass import getuser
from typing import Annotated

from pydantic import AfterValidator, Field

from libs.secret_files import Secret
from libs.settings import (
    AccessSettings,
    Block,
    ClickHouseSettings,
    ConsumerGroup,
    KafkaSettings,
    Listed,
    MemorySettings,
    RateLimitSettings,
    Seconds,
    ServiceSettings,
)

# Recovery compares the last 45 days of the raw events with the rollup, and would take back the
# counts of those that are gone (services/processor/recovery.py).
LEAST_EVENTS_DAYS = 60


# What CreateTopics takes for "as the broker makes topics".
BROKERS_DEFAULT = -1


def _is_factor(number: int) -> int:
    if not number:
        raise ValueError("must be 1 to 9, or -1 for the broker's default")
    return number


def _is_long_enough(days: int) -> int:
    if 0 < days < LEAST_EVENTS_DAYS:
        raise ValueError(f"must be 0 (for ever) or at least {LEAST_EVENTS_DAYS}")
    return days


class TopicSettings(Block):
    """How `ragtime init` makes the topics, and `ragtime topics --apply` changes them."""

    partitions: Annotated[int, Field(ge=1, le=1000)] = Field(
        12, description="of the events; the dead letters have one. The most processors with work"
    )
    replication_factor: Annotated[
        int, Field(ge=BROKERS_DEFAULT, le=9), AfterValidator(_is_factor)
    ] = Field(1, description="3 where there are three brokers; -1: the broker's default")
    min_insync_replicas: Annotated[int, Field(ge=1, le=9)] = Field(
        1, description="2 with a factor of 3: then 202 means two copies"
    )
    retention_hours: Annotated[int, Field(ge=24)] = Field(
        7 * 24, description="of the events; longer than the longest outage of ClickHouse"
    )
    retention_bytes: Annotated[int, Field(ge=-1)] = Field(
        default=-1, description="a partition; -1: no limit but the time"
    )
    dead_letter_retention_hours: Annotated[int, Field(ge=24)] = Field(
        30 * 24, description="of the dead letters"
    )


class RetentionSettings(Block):
    """How long the tables keep what grows."""

    events_days: Annotated[int, Field(ge=0, le=36_500), AfterValidator(_is_long_enough)] = Field(
        default=400,
        description="of the raw events, from when Kafka took them, at least 60; 0: for ever. See"
        " [what is kept](operating.md#what-is-kept)",
    )


class TablesSettings(ServiceSettings):
    """What reading and writing the tables needs."""

    clickhouse: ClickHouseSettings


class MigrateSettings(TablesSettings):
    """What making the tables needs."""

    retention: RetentionSettings = RetentionSettings()


def _account() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # an id without a name, as containers have it
        return f"uid {os.getuid()}"


class KeyTableSettings(TablesSettings):
    """What changing keys needs."""

    actor: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        default_factory=_account,
        description="who runs `ragtime`, for the [log of keys](operating.md#api-keys); without it"
        " the account",
    )


class KeySettings(KeyTableSettings):
    """What making secrets needs."""

    access: AccessSettings


class DeadLetterSettings(ServiceSettings):
    """What reading dead letters needs."""

    kafka: KafkaSettings


class AuditSettings(TablesSettings):
    """What the audit and a replay need."""

    kafka: KafkaSettings


class TopicsSettings(ServiceSettings):
    """What the topics need."""

    kafka: KafkaSettings
    topics: TopicSettings = TopicSettings()


class InitSettings(MigrateSettings, TopicsSettings):
    """What topics and tables need."""


class TopicChangeSettings(InitSettings):
    """What is needed to change what is counted from, while no processor reads."""

    group: ConsumerGroup = ConsumerGroup()


class BackupsSettings(Block):
    """Where backups lie."""

    disk: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        default="backups", description="the disk of ClickHouse's configuration that takes them"
    )


class BackupSettings(TablesSettings):
    """What a backup needs."""

    backup: BackupsSettings = BackupsSettings()


class RestoreSettings(BackupSettings):
    """What a restore needs: whether a processor runs, Kafka knows."""

    kafka: KafkaSettings
    group: ConsumerGroup = ConsumerGroup()


# Health is served in the open, inside the private network.
_SERVICE = r"^http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?$"


class DoctorThresholds(Block):
    """What `ragtime doctor` takes for well, and how it may ask about the services' users."""

    deadline_s: Seconds = Field(10.0, description="for each check")
    replicas: Annotated[int, Field(ge=1)] = Field(
        default=1, description="of ingest or of query, whichever has more"
    )
    services: Annotated[tuple[Annotated[str, Field(pattern=_SERVICE)], ...], *Listed] = Field(
        (),
        description="all processes of ingest, query and the processor, which are asked whether they"
        " are ready: `http://ingest:8081,http://query:8082`; of a name all addresses",
    )
    max_skew_s: Seconds = Field(5.0, description="by which clocks may differ")
    max_lag_s: Seconds = Field(60.0, description="how long a record may wait to be counted")
    dead_letter_hours: Annotated[int, Field(ge=0)] = Field(
        default=24, description="how long a dead letter is worth a warning"
    )
    disk_free_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        10.0, description="what must be free of ClickHouse's disk"
    )
    disk_days: Annotated[float, Field(ge=0)] = Field(
        30.0, description="for how long there should be room"
    )
    ingest_user: str = Field("ingest", description="ClickHouse's user of ingest")
    ingest_password: Secret | None = Field(
        default=None, description="with it the user's rights are tried"
    )
    processor_user: str = Field("processor", description="ClickHouse's user of the processor")
    processor_password: Secret | None = Field(default=None, description="likewise")
    query_user: str = Field("query", description="ClickHouse's user of query")
    query_password: Secret | None = Field(default=None, description="likewise")


class DoctorSettings(TopicChangeSettings):
    """What there is to look at. What other services are told may be told here too."""

    access: AccessSettings | None = None
    rate_limit: RateLimitSettings = RateLimitSettings()
    memory: MemorySettings = MemorySettings()
    doctor: DoctorThresholds = DoctorThresholds()
