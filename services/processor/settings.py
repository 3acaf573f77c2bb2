"""The processor's settings."""

from typing import Annotated

from pydantic import Field

from libs.settings import (
    Block,
    ClickHouseSettings,
    ConsumerGroup,
    DoorSettings,
    HttpSettings,
    KafkaSettings,
    MemorySettings,
    Port,
    Seconds,
    ServiceSettings,
    StopSettings,
    TraceSettings,
)


class BatchSettings(Block):
    """How records become inserts. More a batch: fewer parts and more delay."""

    max_records: Annotated[int, Field(ge=1, le=10_000)] = Field(
        400, description="records of an insert at most"
    )
    within_s: Seconds = Field(0.1, description="how long a batch waits until it is full")
    lease_s: Annotated[float, Field(ge=1, le=60)] = Field(
        default=5.0,
        description="within how long after Kafka confirmed the membership an insert must begin;"
        " each new owner of a partition waits as long before it looks. The same for all processors",
    )


class GroupSettings(ConsumerGroup):
    """The consumer group, and how this process is a member of it."""

    instance: str | None = Field(
        default=None,
        description="a name of this process that stays over restarts, and that no other has: it"
        " gets its partitions back as soon as it returns; see [scaling](operating.md#scaling)."
        " Kafka is told it with the topic behind it: `processor-0.events`",
    )
    session_timeout_s: Annotated[float, Field(ge=6, le=300)] = Field(
        30.0, description="when a silent process loses its partitions"
    )


class DeadLetterSettings(Block):
    """When to stop instead of diverting a whole topic."""

    limit: Annotated[int, Field(ge=0)] = Field(
        default=100_000,
        description="dead letters in a row, without an event that counts between them; beyond it"
        " the processor stops and says so. 0: no limit",
    )


class HealthSettings(HttpSettings):
    """Where live, ready and metrics are answered."""

    others_read = frozenset(DoorSettings.model_fields)
    port: Port = Field(8082, description="health and metrics")


class Settings(ServiceSettings):
    """All of them; a name in the environment is RAGTIME_<BLOCK>__<FIELD>."""

    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    http: HealthSettings = HealthSettings()
    stop: StopSettings = StopSettings()
    traces: TraceSettings = TraceSettings()
    batch: BatchSettings = BatchSettings()
    group: GroupSettings = GroupSettings()
    memory: MemorySettings = MemorySettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
