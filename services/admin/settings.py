"""The settings of the command: ClickHouse's user here may do everything."""

from typing import Annotated

from pydantic import Field

from libs.settings import (
    AccessSettings,
    Block,
    ClickHouseSettings,
    KafkaSettings,
    ServiceSettings,
)


class TopicSettings(Block):
    """How `ragtime init` makes the topics. A topic that exists is left as it is."""

    partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    replication_factor: Annotated[int, Field(ge=1, le=9)] = 1
    min_insync_replicas: Annotated[int, Field(ge=1, le=9)] = 1
    retention_hours: Annotated[int, Field(ge=24)] = 7 * 24
    retention_bytes: Annotated[int, Field(ge=-1)] = Field(
        default=-1, description="a partition; -1: no limit but the time"
    )


class MigrateSettings(ServiceSettings):
    """What the tables need."""

    clickhouse: ClickHouseSettings


class KeySettings(MigrateSettings):
    """What the keys need."""

    access: AccessSettings


class DeadLetterSettings(ServiceSettings):
    """What reading dead letters needs."""

    kafka: KafkaSettings


class AuditSettings(MigrateSettings):
    """What the audit and a replay need."""

    kafka: KafkaSettings


class InitSettings(MigrateSettings):
    """What topics and tables need."""

    kafka: KafkaSettings
    topics: TopicSettings = TopicSettings()
