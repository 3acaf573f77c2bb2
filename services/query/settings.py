"""What an operator can set for query, beside the blocks that all services share."""

from typing import Annotated

from pydantic import Field

from libs.settings import (
    AccessSettings,
    Block,
    ClickHouseSettings,
    DoorSettings,
    DoorStopSettings,
    Networks,
    Rate,
    RateLimitSettings,
    Seconds,
    ServiceSettings,
    TraceSettings,
)


class KeyLimitSettings(RateLimitSettings):
    """Requests a minute; those of a key too."""

    per_key: Rate = Field(30, description="of a key that names no rate of its own")


class QuerySettings(Block):
    """What one question may ask of ClickHouse, and how many are asked at once."""

    timeout_s: Seconds = Field(
        10.0, description="how long a request waits for ClickHouse before it gets 503"
    )
    max_rows: Annotated[int, Field(ge=1_000)] = Field(
        200_000, description="of an answer; more is 400 `answer_too_large`"
    )
    max_result_bytes: Annotated[int, Field(ge=1024 * 1024)] = Field(
        8 * 1024 * 1024, description="that ClickHouse may find for one statement; likewise"
    )
    max_rows_read: Annotated[int, Field(ge=1_000)] = Field(
        1_000_000_000, description="that ClickHouse may read for one statement; likewise"
    )
    max_memory_bytes: Annotated[int, Field(ge=16 * 1024 * 1024)] = Field(
        1024 * 1024 * 1024, description="that ClickHouse may take for one statement"
    )
    max_threads: Annotated[int, Field(ge=1)] = Field(
        1, description="that ClickHouse takes for one statement; inserts need the other cores"
    )
    max_running: Annotated[int, Field(ge=1)] = Field(
        16, description="statements at once; the others wait, within the same time"
    )


class Settings(ServiceSettings):
    """All settings of query."""

    http: DoorSettings = DoorSettings(port=8080)
    stop: DoorStopSettings = DoorStopSettings()
    traces: TraceSettings = TraceSettings()
    clickhouse: ClickHouseSettings
    access: AccessSettings
    rate_limit: KeyLimitSettings = KeyLimitSettings()
    trusted_proxies: Networks = Field(
        (),
        description="networks whose `X-Forwarded-For` counts, and which have no"
        " [share](operating.md#shares): `10.0.0.0/8,192.168.1.7`",
    )
    query: QuerySettings = QuerySettings()
