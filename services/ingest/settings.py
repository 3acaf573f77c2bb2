"""What an operator can set for ingest, beside the blocks that all services share."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from libs.settings import (
    AccessSettings,
    Block,
    ClickHouseSettings,
    DoorSettings,
    DoorStopSettings,
    KafkaSettings,
    RateLimitSettings,
    Seconds,
    ServiceSettings,
    TraceSettings,
)


class BodySettings(Block):
    """What a request may bring."""

    max_body_bytes: Annotated[int, Field(ge=1_024, le=64 * 1024 * 1024)] = 5 * 1024 * 1024
    max_events: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    max_held_bytes: Annotated[int, Field(ge=1024 * 1024)] = Field(
        16 * 1024 * 1024,
        description="of large bodies that are read, or whose events wait for Kafka, at once",
    )
    max_waiting: Annotated[int, Field(ge=0, le=10_000)] = Field(
        100, description="large bodies that wait for room; one more gets 503"
    )
    wait_s: Seconds = Field(
        5.0,
        description="how long a large body waits for room; shorter than the grace that open"
        " requests have when the service is stopped",
    )


class PublishSettings(Block):
    """How events are packed into records, and how long a request waits for Kafka.

    A record larger than the topic's `max.message.bytes` (1 MiB by default) is never made: one event
    is at most about 400 kB, and a record grows beyond `max_record_bytes` by no event but its first.
    """

    linger_ms: Annotated[float, Field(ge=0, le=1_000)] = 5.0
    max_record_bytes: Annotated[int, Field(ge=1_024, le=512 * 1024)] = 128 * 1024
    max_record_events: Annotated[int, Field(ge=1, le=10_000)] = 500
    max_pending_bytes: Annotated[int, Field(ge=1024 * 1024)] = 32 * 1024 * 1024
    timeout_s: Seconds = Field(
        6.0,
        description="how long a request waits for Kafka; shorter than the grace that open requests"
        " have when the service is stopped, so that each is still answered",
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
    rate_limit: RateLimitSettings = RateLimitSettings()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="networks whose X-Forwarded-For counts, as a JSON list"
    )
    geoip_database: Path | None = Field(
        default=None,
        description="an .mmdb file in MaxMind's country layout; without it the registries' data",
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
