"""The gateway's settings, from the environment: GATEWAY_PORT and so on.

A limit has the name and the default of the server's own setting (ClickHouse 26.9, `system.settings`
and `system.server_settings`), so that a test can lower it: GATEWAY_HTTP_MAX_FIELD_VALUE_SIZE=1000.
"""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.settings import Port


class Settings(BaseSettings):
    """Where it listens, where the data lie, who may come in, and what is too much."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: Port = 8123
    data_dir: Path
    users_file: Path

    # Of headers and of fields, in the URL and in a form alike. Sizes in bytes, as they are sent.
    http_max_uri_size: int = 1 << 20
    http_max_fields: int = 1000
    http_max_field_name_size: int = 4096
    http_max_field_value_size: int = 128 << 10
    http_max_request_header_size: int = 10 << 20
    http_max_multipart_form_data_size: int = 1 << 30
    http_receive_timeout: float = 30.0  # seconds without a byte of a body
    http_send_timeout: float = 30.0  # seconds in which nobody takes a byte of an answer
    keep_alive_timeout: float = 30.0  # seconds without a request
    max_keep_alive_requests: int = 10_000
    # A server has no such limit unless its configuration says so: ours does, config.d/ragtime.xml.
    max_concurrent_queries: int = 100
