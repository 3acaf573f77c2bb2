"""What an operator can set for query, beside the blocks that all services share."""

from ipaddress import IPv4Network, IPv6Network

from pydantic import Field

from libs.settings import (
    AccessSettings,
    ClickHouseSettings,
    HttpSettings,
    Rate,
    RateLimitSettings,
    Seconds,
    ServiceSettings,
)


class KeyLimitSettings(RateLimitSettings):
    """Requests a minute; those of a key too."""

    per_key: Rate = Field(30, description="of a key that names no rate of its own")


class Settings(ServiceSettings):
    """All settings of query."""

    http: HttpSettings = HttpSettings(port=8080)
    clickhouse: ClickHouseSettings
    access: AccessSettings
    rate_limit: KeyLimitSettings = KeyLimitSettings()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="networks whose X-Forwarded-For counts, as a JSON list"
    )
    query_timeout_s: Seconds = Field(10.0, description="how long a request waits for ClickHouse")
