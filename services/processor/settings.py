"""The processor's settings."""

from typing import Annotated

from pydantic import Field

from libs.settings import (
    Block,
    ClickHouseSettings,
    HttpSettings,
    KafkaSettings,
    Port,
    Seconds,
    ServiceSettings,
)


class BatchSettings(Block):
    """How records become inserts. More a batch: fewer parts and more delay."""

    max_records: Annotated[int, Field(ge=1, le=10_000)] = 100
    within_s: Seconds = 0.1
    lease_s: Annotated[float, Field(ge=1, le=50)] = Field(
        default=10.0,
        description="how long an insert may take before ClickHouse refuses it; shorter than the"
        " session, so that a partition never has two writers",
    )


class GroupSettings(Block):
    """The consumer group, which spreads the partitions over the processors."""

    name: str = "ragtime-processor"
    instance: str | None = Field(
        default=None,
        description="a name of this process that stays over restarts: it then gets its partitions"
        " back at once after a crash, and nobody else's session is waited for",
    )
    session_timeout_s: Annotated[float, Field(ge=6, le=300)] = 30.0


class HealthSettings(HttpSettings):
    """Where live, ready and metrics are answered."""

    port: Port = 8082


class Settings(ServiceSettings):
    """All of them; a name in the environment is RAGTIME_<BLOCK>__<FIELD>."""

    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    http: HealthSettings = HealthSettings()
    batch: BatchSettings = BatchSettings()
    group: GroupSettings = GroupSettings()
