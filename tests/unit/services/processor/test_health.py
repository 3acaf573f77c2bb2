"""The processor's own port."""

import httpx
import pytest

from libs.settings import HttpSettings
from services.processor.health import Health, serve_health
from tests.ports import free_port

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])


@pytest.mark.parametrize("host", ["::", "127.0.0.1"])
async def test_health_is_told_over_ipv4_and_where_the_host_is_any_over_ipv6_too(host: str) -> None:
    port = free_port()
    addresses = ["127.0.0.1", "[::1]"] if host == "::" else ["127.0.0.1"]
    async with (
        serve_health(HttpSettings(host=host, port=port), Health()),
        httpx.AsyncClient() as http,
    ):
        answers = [await http.get(f"http://{one}:{port}/healthz/live") for one in addresses]

    assert {answer.status_code for answer in answers} == {200}
