"""Each server behind a listener whose certificate no system knows, and that asks who comes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from clickhouse_connect.driver.exceptions import Error
from pydantic import SecretStr
from structlog.testing import capture_logs

from libs.access.rate_limits import Ask, StoreAwayError
from libs.access.shared_windows import SharedWindows, shared_windows
from libs.access.windows import Known, Limit
from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings, RateLimitSettings, TraceSettings
from libs.telemetry.tracing import tracing
from tests.certificates import Certificates, make_certificates, tls_front
from tests.e2e.collector import running_collector
from tests.polling import until, until_answered
from tests.servers import Servers
from tests.valkey_server import PASSWORD, valkey_server

pytestmark = pytest.mark.contract


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


def files(certificates: Certificates, lacking: str = "", prefix: str = "") -> dict[str, Any]:
    """The settings of files, without some of them."""
    given = {"ca_file": certificates.ca}
    if lacking != "certificate":
        given |= {"cert_file": certificates.certificate, "key_file": certificates.key}
    if lacking == "ca":
        del given["ca_file"]
    return {f"{prefix}{name}": path for name, path in given.items()}


async def ask_clickhouse(servers: Servers, port: int, given: Mapping[str, Any]) -> object:
    settings = ClickHouseSettings(
        url=f"https://127.0.0.1:{port}",
        user=servers.admin.user,
        password=SecretStr(servers.admin.password),
        database="system",
        **given,
    )
    client = await connect(settings)
    try:
        return (await client.query("SELECT 1")).result_rows[0][0]
    finally:
        await client.close()


async def test_clickhouse_answers_when_both_know_each_other(
    real_servers: Servers, certificates: Certificates
) -> None:
    there = urlsplit(real_servers.clickhouse_url).port
    assert there is not None
    async with tls_front(certificates.server, there) as port:
        assert await ask_clickhouse(real_servers, port, files(certificates)) == 1


@pytest.mark.parametrize("lacking", ["ca", "certificate"])
async def test_clickhouse_is_away_when_a_certificate_is_not_known(
    real_servers: Servers, certificates: Certificates, lacking: str
) -> None:
    there = urlsplit(real_servers.clickhouse_url).port
    assert there is not None
    async with tls_front(certificates.server, there) as port:
        with pytest.raises(Error):
            await ask_clickhouse(real_servers, port, files(certificates, lacking))


def store_at(port: int, given: Mapping[str, Any]) -> SharedWindows:
    url = SecretStr(f"rediss://:{PASSWORD}@127.0.0.1:{port}/0")
    store = shared_windows(RateLimitSettings(store_url=url, **given), "test")
    assert store is not None
    return store


async def test_store_counts_when_both_know_each_other(certificates: Certificates) -> None:
    with valkey_server() as valkey:
        async with tls_front(certificates.server, valkey.port) as port:
            store = store_at(port, files(certificates, prefix="store_"))
            task = asyncio.create_task(store.run())

            async def counts() -> bool:
                try:
                    (count,) = await store.take([Ask(Limit("key:a", 9), 1, 0, Known())])
                except StoreAwayError:
                    return False
                return count.taken == 1

            await until_answered(counts)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("lacking", ["ca", "certificate"])
async def test_store_is_away_when_a_certificate_is_not_known(
    certificates: Certificates, lacking: str
) -> None:
    with valkey_server() as valkey, capture_logs() as lines:
        async with tls_front(certificates.server, valkey.port) as port:
            store = store_at(port, files(certificates, lacking, "store_"))
            task = asyncio.create_task(store.run())
            await until(lambda: bool(lines))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert lines[0]["event"] == "rate_limits.store_is_away"


def send_a_span(url: str, given: Mapping[str, Any]) -> None:
    with tracing("test", TraceSettings(endpoint=url, sample_ratio=1, **given)) as traces:
        assert traces is not None
        span = traces.request({"type": "http", "path": "/api", "headers": [], "method": "GET"})
        assert span is not None
        span.end()
        traces._provider.force_flush(20_000)


@pytest.mark.parametrize(("lacking", "comes"), [("", True), ("ca", False), ("certificate", False)])
def test_spans_come_when_both_know_each_other(
    certificates: Certificates, lacking: str, *, comes: bool
) -> None:
    with running_collector(certificates.server) as collector:
        send_a_span(collector.url, files(certificates, lacking))
        assert bool(collector.bodies) is comes
