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

    partitions: Annotated[int, Field(ge=1, le=1000)] = Field(
        12, description="of the events; the dead letters have one. The most processors with work"
    )
    replication_factor: Annotated[int, Field(ge=1, le=9)] = Field(
        1, description="3 where there are three brokers"
    )
    min_insync_replicas: Annotated[int, Field(ge=1, le=9)] = Field(
        1, description="2 with a factor of 3: then 202 means two copies"
    )
    retention_hours: Annotated[int, Field(ge=24)] = Field(
        7 * 24, description="of the events; longer than the longest outage of ClickHouse"
    )
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
