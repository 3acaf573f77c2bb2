"""The gateway's settings, from the environment: GATEWAY_PORT and so on."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.settings import Port


class Settings(BaseSettings):
    """Where it listens, where the data lie, and who may come in."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: Port = 8123
    data_dir: Path
    users_file: Path
    body_timeout_s: float = 30.0  # without a byte of a body; what ClickHouse's server waits too
