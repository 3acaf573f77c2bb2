"""What an operator can set for ingest, beside the blocks that all services share."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field

from libs.settings import (
    AccessSettings,
    Block,
    ClickHouseSettings,
    DoorSettings,
    KafkaSettings,
    Seconds,
    ServiceSettings,
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
        description="how long a large body waits for room; shorter than the 7 s that open requests"
        " have when the service is stopped",
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
        description="how long a request waits for Kafka; shorter than the 7 s that open requests"
        " have when the service is stopped, so that each is still answered",
    )


class Settings(ServiceSettings):
    """All settings of ingest."""

    http: DoorSettings = DoorSettings(port=8081)
    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    access: AccessSettings
    body: BodySettings = BodySettings()
    publish: PublishSettings = PublishSettings()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="networks whose X-Forwarded-For counts, as a JSON list"
    )
    geoip_database: Path | None = Field(
        default=None,
        description="an .mmdb file in MaxMind's country layout; without it the registries' data",
    )
