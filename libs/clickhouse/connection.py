"""How a service connects to ClickHouse: one client a process, no repeats behind our back."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from clickhouse_connect import common, get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.settings import ClickHouseSettings
from libs.telemetry.logs import get_logger

_WAIT_LOG_INTERVAL_S = 3.0
# An idle connection is given up before a server does it, which waits for 3, 10 or 30 s by its
# release and configuration. Sent at that very moment an insert would fail with an outcome that
# nobody knows, and a service that works every ten seconds would meet that again and again.
_IDLE_S = 2.0

# Asks whether the server answers, and nothing else.
PING = "SELECT 1"

log = get_logger()


async def connect(
    settings: ClickHouseSettings,
    *,
    database: str | None = None,
    sent: Mapping[str, str] | None = None,
) -> AsyncClient:
    """A client that is ready to use.

    `database` overrides the one of the settings: migrations need a client before theirs exists.
    `sent`: ClickHouse's settings that go with each statement.
    Raises `clickhouse_connect.driver.exceptions.Error` when the server is away or refuses.
    """
    common.set_setting("send_os_user", False)  # the name of the account is nobody's business
    address = urlsplit(settings.url)
    ca, certificate, key = settings.tls_files.texts()
    client = await get_async_client(
        host=address.hostname,
        port=address.port or (8443 if address.scheme == "https" else 8123),
        interface=address.scheme,
        username=settings.user,
        password=settings.password.get_secret_value(),
        ca_cert=ca,
        client_cert=certificate,
        client_cert_key=key,
        tls_mode="strict",  # the user shows the password, whatever certificate there is
        database=settings.database if database is None else database,
        autogenerate_session_id=False,
        query_retries=0,
        connect_timeout=5,
        keepalive_timeout=_IDLE_S,
        send_receive_timeout=settings.timeout_s,
    )
    changeable = changeable_settings(client, sent or {})
    if fixed := (sent or {}).keys() - changeable.keys():
        log.info("clickhouse.settings_fixed", settings=sorted(fixed))
    for name, value in changeable.items():
        client.set_client_setting(name, value)
    return client


def changeable_settings(client: AsyncClient, sent: Mapping[str, str]) -> dict[str, str]:
    """Those of these settings that the user's profile has not fixed."""
    known = client.server_settings
    return {
        name: value for name, value in sent.items() if name not in known or not known[name].readonly
    }


async def connect_patiently(
    settings: ClickHouseSettings, sent: Mapping[str, str] | None = None
) -> AsyncClient:
    """Like `connect`, but waits for a server that is not there yet, and says so in the log."""
    while True:
        try:
            return await connect(settings, sent=sent)
        except Error as error:
            log.warning("clickhouse.waiting", url=settings.url, error=first_line(error))
        await asyncio.sleep(_WAIT_LOG_INTERVAL_S)


def first_line(error: Exception) -> str:
    """What an error says, short enough for a log line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
