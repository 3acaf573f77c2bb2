"""What an operator can set for ingest, beside the blocks that all services share."""

from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from libs.settings import (
    AccessSettings,
    Block,
    ClickHouseSettings,
    DoorSettings,
    DoorStopSettings,
    KafkaSettings,
    Networks,
    RateLimitSettings,
    Seconds,
    ServiceSettings,
    TraceSettings,
)


class BodySettings(Block):
    """What a request may bring."""

    max_body_bytes: Annotated[int, Field(ge=1_024, le=64 * 1024 * 1024)] = Field(
        5 * 1024 * 1024, description="of a body, before and after decompression"
    )
    max_events: Annotated[int, Field(ge=1, le=100_000)] = Field(10_000, description="of a request")
    max_held_bytes: Annotated[int, Field(ge=1024 * 1024)] = Field(
        24 * 1024 * 1024,
        description="of [large bodies](operating.md#memory-of-ingest) at once; at least twice"
        " `RAGTIME_BODY__MAX_BODY_BYTES`",
    )
    max_waiting: Annotated[int, Field(ge=0, le=10_000)] = Field(
        100, description="large bodies that wait for memory; one more gets 503"
    )
    wait_s: Seconds = Field(
        5.0,
        description="how long a large body waits for memory before it gets 503; less than"
        " `RAGTIME_STOP__GRACE_S`",
    )

    @model_validator(mode="after")
    def _two_keys_find_room(self) -> Self:
        if self.max_held_bytes < 2 * self.max_body_bytes:
            raise ValueError("MAX_HELD_BYTES must be at least twice MAX_BODY_BYTES")
        return self


class PublishSettings(Block):
    """How events are packed into records, and how long a request waits for Kafka.

    A record larger than the topic's `max.message.bytes` (1 MiB by default) is never made: one event
    is at most about 400 kB, and a record grows beyond `max_record_bytes` by no event but its first.
    """

    linger_ms: Annotated[float, Field(ge=0, le=1_000)] = Field(
        5.0, description="how long a record waits for more events"
    )
    max_record_bytes: Annotated[int, Field(ge=1_024, le=512 * 1024)] = Field(
        128 * 1024, description="a record is sent when it holds so much"
    )
    max_record_events: Annotated[int, Field(ge=1, le=10_000)] = Field(
        500, description="or so many events"
    )
    max_pending_bytes: Annotated[int, Field(ge=1024 * 1024)] = Field(
        32 * 1024 * 1024,
        description="what may wait for Kafka; beyond it, or a key's share of it, requests get 503",
    )
    timeout_s: Seconds = Field(
        6.0,
        description="how long a request waits for Kafka; less than `RAGTIME_STOP__GRACE_S`, so that"
        " each is still answered when the service is stopped",
    )


class CardinalitySettings(Block):
    """How many different sources, actions or languages a project may have."""

    max_keys: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        20_000,
        description="of each, for a project and day, by each process; more are counted as"
        " [`other`](operating.md#cardinality)",
    )
    max_memory_bytes: Annotated[int, Field(ge=1024 * 1024)] = Field(
        32 * 1024 * 1024, description="for remembering them"
    )


class WriteLimitSettings(RateLimitSettings):
    """What a key may write that names no limit of its own."""

    events_per_key: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        120_000,
        description="[events a minute](operating.md#limits-of-ingest) of a key that names no limit"
        " of its own; 0: no limit",
    )
    requests_per_key: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        60_000,
        description="requests a minute that one process takes of a key; 0: as many as come",
    )


B = TypeVar("B", BodySettings, PublishSettings)


class Settings(ServiceSettings):
    """All settings of ingest."""

    http: DoorSettings = DoorSettings(port=8081)
    stop: DoorStopSettings = DoorStopSettings()
    traces: TraceSettings = TraceSettings()
    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    access: AccessSettings
    body: BodySettings = BodySettings()
    publish: PublishSettings = PublishSettings()
    cardinality: CardinalitySettings = CardinalitySettings()
    rate_limit: WriteLimitSettings = WriteLimitSettings()
    trusted_proxies: Networks = Field(
        (),
        description="networks whose `X-Forwarded-For` counts, and which have no"
        " [share](operating.md#shares): `10.0.0.0/8,192.168.1.7`",
    )
    geoip_database: Path | None = Field(
        default=None,
        description="an `.mmdb` file in MaxMind's country layout; without it the registries' data",
    )

    @field_validator("body", "publish")
    @classmethod
    def _ends_within_the_grace(cls, block: B, others: ValidationInfo) -> B:
        wait, wait_s = (
            ("WAIT_S", block.wait_s)
            if isinstance(block, BodySettings)
            else ("TIMEOUT_S", block.timeout_s)
        )
        stop = others.data.get("stop")
        if stop is not None and wait_s >= stop.grace_s:
            raise ValueError(f"{wait} must be less than RAGTIME_STOP__GRACE_S ({stop.grace_s:g})")
        return block
