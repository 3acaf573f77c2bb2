"""What an operator can set for query, beside the blocks that all services share."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field

from libs.settings import (
    AccessSettings,
    Block,
    ClickHouseSettings,
    DoorSettings,
    Seconds,
    ServiceSettings,
)

Rate = Annotated[int, Field(ge=1, le=1_000_000)]


class RateLimitSettings(Block):
    """Requests a minute."""

    per_key: Rate = Field(30, description="of a key that names no rate of its own")
    per_address: Rate = Field(30, description="of an address that shows no valid key")


class Settings(ServiceSettings):
    """All settings of query."""

    http: DoorSettings = DoorSettings(port=8080)
    clickhouse: ClickHouseSettings
    access: AccessSettings
    rate_limit: RateLimitSettings = RateLimitSettings()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="networks whose X-Forwarded-For counts, as a JSON list"
    )
    query_timeout_s: Seconds = Field(10.0, description="how long a request waits for ClickHouse")
