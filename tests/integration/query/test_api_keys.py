"""The table of the keys on the real engine."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error
from pydantic import SecretStr

from libs.access.api_keys import ActiveKey, ApiKey, Mode, Scope, generate_key, hash_key
from libs.access.key_store import KeyStore, add_key, list_keys, revoke_key
from libs.access.key_uses import (
    Activity,
    activity_of_keys,
    last_uses,
    write_activity,
    write_uses,
)
from libs.clickhouse.connection import connect
from libs.settings import AccessSettings, ClickHouseSettings
from services.query.database import OWN_CAPS
from tests.polling import until
from tests.servers import Servers

pytestmark = pytest.mark.integration

PEPPER = "p" * 32
NOW = datetime(2026, 3, 25, 12, 0, 0, 123_000, tzinfo=UTC)


def make_key(key_id: str) -> tuple[str, ApiKey]:
    token = generate_key(Mode.TEST)
    return token, ApiKey(
        id=key_id,
        key_hash=hash_key(token, PEPPER.encode()),
        project_id="muséum",
        mode=Mode.TEST,
        scopes=frozenset(Scope),
        rate_per_minute=7,
        label="it's a\tlabel 🤖",
        created_at=NOW,
        expires_at=NOW + timedelta(days=9),
        revoked_at=None,
        events_per_minute=8,
        previous_hash="f" * 64,
        previous_until=NOW + timedelta(hours=1),
        pepper_id="0a1b2c3d",
    )


async def test_key_is_read_as_it_was_written(clickhouse: AsyncClient) -> None:
    _, full = make_key("key_1")
    _, bare = make_key("key_2")
    bare = replace(
        bare,
        rate_per_minute=None,
        expires_at=None,
        label="",
        scopes=frozenset(),
        events_per_minute=None,
        previous_hash="",
        previous_until=None,
        pepper_id="",
    )
    await add_key(clickhouse, full)
    await add_key(clickhouse, bare)
    assert await list_keys(clickhouse) == [full, bare]


async def test_key_is_revoked_once(clickhouse: AsyncClient) -> None:
    _, key = make_key("key_1")
    await add_key(clickhouse, key)
    later = NOW + timedelta(hours=1)
    assert await revoke_key(clickhouse, "key_1", later)
    assert await revoke_key(clickhouse, "key_1", later + timedelta(hours=1))
    assert not await revoke_key(clickhouse, "key_2", later)
    assert await list_keys(clickhouse) == [replace(key, revoked_at=later)]


async def test_revocation_stands_when_the_key_is_changed_at_the_same_time(
    clickhouse: AsyncClient,
) -> None:
    _, key = make_key("key_1")
    await add_key(clickhouse, key)
    await revoke_key(clickhouse, "key_1", NOW)
    await add_key(clickhouse, replace(key, rate_per_minute=8))  # by who read it before
    assert await list_keys(clickhouse) == [replace(key, revoked_at=NOW)]


async def test_key_has_one_last_use_when_several_processes_wrote_theirs(
    clickhouse: AsyncClient,
) -> None:
    for used_at in (NOW, NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)):
        await write_uses(clickhouse, {"key_1": used_at, "key_2": NOW})
    assert await last_uses(clickhouse) == {"key_1": NOW + timedelta(minutes=1), "key_2": NOW}


async def test_activity_adds_up_over_processes_and_is_told_by_key(clickhouse: AsyncClient) -> None:
    _, key = make_key("key_1")
    await add_key(clickhouse, key)
    now = datetime.now(UTC)
    for service in ("ingest", "query", "ingest"):
        await write_activity(clickhouse, service, {"key_1": Activity(5, refused=2)}, now)
    await write_activity(clickhouse, "query", {"key_2": Activity(9, rejected_events=7)}, now)
    long_ago = now - timedelta(days=3)
    await write_activity(clickhouse, "query", {"key_1": Activity(100)}, long_ago)

    assert await activity_of_keys(clickhouse, 24, "") == [
        ("key_2", "", "", Activity(9, rejected_events=7)),
        ("key_1", key.project_id, key.label, Activity(15, refused=6)),
    ]
    assert await activity_of_keys(clickhouse, 90 * 24, key.project_id) == [
        ("key_1", key.project_id, key.label, Activity(115, refused=6))
    ]


@pytest.mark.parametrize("service", ["ingest", "query"])
async def test_service_writes_uses_and_nothing_else(
    real_servers: Servers,
    clickhouse: AsyncClient,
    clickhouse_settings: ClickHouseSettings,
    service: str,
) -> None:
    user = real_servers.users.get(service)
    if user is None:
        pytest.skip("these servers know one user, who may do everything")
    settings = {"user": user.user, "password": SecretStr(user.password)}
    own = clickhouse_settings.model_copy(update=settings)
    client = await connect(own, sent=OWN_CAPS if service == "query" else None)
    _, key = make_key("key_1")
    await write_uses(client, {"key_1": NOW})
    await write_activity(client, service, {"key_1": Activity(1)}, NOW)
    for statement in ("SELECT count() FROM key_uses", "TRUNCATE TABLE key_uses"):
        with pytest.raises(Error):
            await client.command(statement)
    with pytest.raises(Error):
        await add_key(client, key)
    await client.close()
    assert await last_uses(clickhouse) == {"key_1": NOW}
    assert await list_keys(clickhouse) == []


async def test_snapshot_follows_the_table_when_a_key_is_revoked(clickhouse: AsyncClient) -> None:
    token, key = make_key("key_1")
    await add_key(clickhouse, key)
    store = KeyStore(AccessSettings(pepper=SecretStr(PEPPER), refresh_interval_s=0.05))
    running = asyncio.create_task(store.run(clickhouse))
    await until(lambda: store.can_judge)
    assert store.find(token, NOW) == ActiveKey(
        key.id,
        key.project_id,
        key.mode,
        key.scopes,
        key.rate_per_minute,
        key.events_per_minute,
    )
    await revoke_key(clickhouse, "key_1", NOW)
    await until(lambda: store.find(token, NOW) is None, timeout_s=5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
