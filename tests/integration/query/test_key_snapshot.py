"""The snapshot of the keys above the real engine: what it holds, and that nothing escapes it."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.api_keys import ApiKey, Mode, Scope
from libs.access.key_reader import KeyReader
from libs.access.key_snapshot import KeySnapshot
from libs.access.key_store import add_key, list_keys, revoke_key
from tests.fakes_keys import keep

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 25, 12, 0, 0, 123_000, tzinfo=UTC)
# A row of before: what a slow insert, another replica or a clock that was set back may bring.
_LATE = """
INSERT INTO api_keys (id, key_hash, project_id, mode, scopes, created_at, updated_at)
SELECT 'late', repeat('e', 64), 'zoo', 'live', ['events:write'], now64(3), toDateTime64(0, 6)
"""


def key(number: int) -> ApiKey:
    return ApiKey(
        id=f"key_{number}",
        key_hash=secrets.token_hex(32),
        project_id="muséum",
        mode=Mode.LIVE,
        scopes=frozenset({Scope.EVENTS_WRITE}),
        rate_per_minute=None,
        label="it's a\tlabel 🤖",
        created_at=NOW,
        expires_at=None,
        revoked_at=None,
    )


def many_kinds() -> list[ApiKey]:
    """A key of each kind that there may be."""
    hour, old = timedelta(hours=1), secrets.token_hex(32)

    def rotated(one: ApiKey) -> ApiKey:
        return replace(one, previous_hash=old, previous_until=NOW + hour)

    return [
        key(0),
        replace(key(1), mode=Mode.TEST, scopes=frozenset(Scope)),
        replace(key(2), rate_per_minute=7, events_per_minute=4_294_967_295),
        replace(key(3), scopes=frozenset()),
        replace(key(4), expires_at=NOW),
        rotated(replace(key(5), revoked_at=NOW)),
        rotated(key(6)),
        rotated(replace(key(7), expires_at=NOW)),
        rotated(replace(key(8), expires_at=NOW + 2 * hour)),
        replace(key(9), previous_hash=old),
        replace(key(10), key_hash="g" * 64),
        replace(key(11), key_hash="F" * 64),
    ]


def hashes_of(keys: list[ApiKey]) -> list[bytes]:
    """All that could stand for one of them."""
    texts = [text for one in keys for text in (one.key_hash, one.previous_hash) if text]
    return [bytes.fromhex(text) for text in texts if text != "g" * 64]


def assert_holds(snapshot: KeySnapshot, keys: list[ApiKey], more: list[ApiKey]) -> None:
    """It holds these keys, and what else there might have been stands for nothing."""
    wanted = KeySnapshot()
    keep(wanted, [one for one in keys if set(one.key_hash) <= set("0123456789abcdef")])
    assert len(snapshot) == len(wanted)
    for digest in hashes_of(keys + more):
        assert snapshot.find(digest) == wanted.find(digest)


async def test_snapshot_holds_what_the_fake_one_would_when_keys_are_of_all_kinds(
    clickhouse: AsyncClient,
) -> None:
    keys, snapshot = many_kinds(), KeySnapshot()
    for one in keys:
        await add_key(clickhouse, one)
    await KeyReader(clickhouse, snapshot).refresh()
    assert_holds(snapshot, keys, [])


async def test_no_change_escapes_however_it_came_about(clickhouse: AsyncClient) -> None:
    first, snapshot = [key(number) for number in range(30)], KeySnapshot()
    reader = KeyReader(clickhouse, snapshot)
    for one in first:
        await add_key(clickhouse, one)
    sync = {"mutations_sync": "2"}
    for change in (
        lambda: revoke_key(clickhouse, "key_1", NOW),
        lambda: revoke_key(clickhouse, "key_2", NOW - timedelta(days=300)),
        lambda: add_key(clickhouse, replace(first[3], key_hash=secrets.token_hex(32))),
        lambda: add_key(clickhouse, replace(first[4], events_per_minute=5)),
        lambda: add_key(clickhouse, replace(first[1], label="made valid again: it stays revoked")),
        lambda: clickhouse.command(_LATE),
        lambda: clickhouse.command("DELETE FROM api_keys WHERE id = 'key_5'"),
        lambda: clickhouse.command(
            "ALTER TABLE api_keys UPDATE revoked_at = now64(3) WHERE id = 'key_6'", settings=sync
        ),
        lambda: clickhouse.command("OPTIMIZE TABLE api_keys FINAL"),
        lambda: clickhouse.command("TRUNCATE TABLE api_keys"),
        lambda: add_key(clickhouse, first[1]),  # as a backup brings it back
    ):
        await reader.refresh()
        await change()
        await reader.refresh()
        assert_holds(snapshot, await list_keys(clickhouse), first)


async def test_nothing_is_read_again_when_parts_were_merged(clickhouse: AsyncClient) -> None:
    keys, snapshot = [key(number) for number in range(5)], KeySnapshot()
    for one in keys:
        await add_key(clickhouse, one)
        await add_key(clickhouse, replace(one, events_per_minute=1))
    reader = KeyReader(clickhouse, snapshot)
    await reader.refresh()
    version = snapshot.version
    await clickhouse.command("OPTIMIZE TABLE api_keys FINAL")
    await reader.refresh()
    assert snapshot.version == version
