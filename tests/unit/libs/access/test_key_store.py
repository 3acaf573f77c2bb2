"""The snapshot of the keys."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from pydantic import SecretStr

from libs.access.api_keys import Mode, Scope, generate_key, hash_key
from libs.access.key_store import KeyStore, key_of_row
from libs.settings import AccessSettings
from tests.fakes import FakeClickHouse
from tests.polling import until

PEPPER = "p" * 32
NOW = datetime(2026, 3, 25, 12, tzinfo=UTC)
NOW_MS = 1_774_440_000_000
SETTINGS = AccessSettings(pepper=SecretStr(PEPPER), refresh_interval_s=0.01)


def row_of(key: str, **fields: Any) -> tuple[Any, ...]:
    """A row as the table gives it."""
    row = {
        "id": "key_1",
        "key_hash": hash_key(key, PEPPER.encode()),
        "project_id": "museum",
        "mode": "live",
        "scopes": ["analytics:read"],
        "rate_per_minute": None,
        "label": "dashboard",
        "created_at": NOW_MS - 1000,
        "expires_at": None,
        "revoked_at": None,
        "events_per_minute": None,
        "previous_hash": "",
        "previous_until": None,
        "pepper_id": "",
    }
    return tuple((row | fields).values())


def test_row_becomes_key_when_read() -> None:
    row = row_of("k", mode="test", rate_per_minute=5, expires_at=NOW_MS, revoked_at=NOW_MS + 7)
    key = key_of_row(row)
    assert (key.mode, key.rate_per_minute, key.label) == (Mode.TEST, 5, "dashboard")
    assert key.expires_at == NOW
    assert key.revoked_at == NOW + timedelta(milliseconds=7)


def test_scope_allows_nothing_when_unknown() -> None:
    key = key_of_row(row_of("k", scopes=["analytics:read", "coffee:make"]))
    assert key.scopes == {Scope.ANALYTICS_READ}


@pytest.mark.parametrize(
    ("fields", "is_found"),
    [({}, True), ({"revoked_at": NOW_MS}, False), ({"expires_at": NOW_MS}, False)],
)
async def test_key_is_found_when_usable(fields: dict[str, int], is_found: bool) -> None:
    token = generate_key(Mode.LIVE)
    store = KeyStore(SETTINGS)
    store.replace([key_of_row(row_of(token, **fields))])
    assert (store.find(token, NOW) is not None) is is_found
    assert store.find(generate_key(Mode.LIVE), NOW) is None
    assert store.find("rt_live_nonsense", NOW) is None


async def test_snapshot_follows_the_table_and_outlives_its_absence() -> None:
    token, later = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    table = FakeClickHouse()
    table.rows["FROM api_keys"] = [row_of(token)]
    store = KeyStore(SETTINGS)
    assert not store.is_loaded
    running = asyncio.create_task(store.run(await table.connect()))
    await until(lambda: store.find(token, NOW) is not None)
    table.failure = OperationalError("away")
    attempts = table.attempts
    await until(lambda: table.attempts > attempts + 2)
    assert store.is_loaded
    assert store.find(token, NOW) is not None
    table.rows["FROM api_keys"] = [row_of(later, id="key_2")]
    table.failure = None
    await until(lambda: store.find(token, NOW) is None)
    assert store.find(later, NOW) is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
