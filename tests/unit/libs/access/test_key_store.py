"""The snapshot of the keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from pydantic import SecretStr

from libs.access.api_keys import ApiKey, Mode, Scope, generate_key, hash_key
from libs.access.key_snapshot import KeySnapshot, Secret
from libs.access.key_store import KeyStore, find_secret, key_of_row
from libs.settings import AccessSettings
from tests.clock import Clock
from tests.fakes import FakeClickHouse
from tests.fakes_keys import keep
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


def stored(key: str, **fields: Any) -> ApiKey:
    """A key of the table."""
    return key_of_row(row_of(key, **fields))


def store_of(*keys: ApiKey, settings: AccessSettings = SETTINGS) -> KeyStore:
    """A store that has read these keys."""
    store = KeyStore(settings)
    keep(store.snapshot, keys)
    return store


def test_row_becomes_key_when_read() -> None:
    row = row_of(
        "k",
        mode="test",
        rate_per_minute=5,
        expires_at=NOW_MS,
        revoked_at=NOW_MS + 7,
        events_per_minute=9,
        previous_hash="f" * 64,
        previous_until=NOW_MS + 8,
        pepper_id="0a1b2c3d",
    )
    key = key_of_row(row)
    assert (key.events_per_minute, key.previous_hash, key.pepper_id) == (9, "f" * 64, "0a1b2c3d")
    assert key.previous_until == NOW + timedelta(milliseconds=8)
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
    store = store_of(stored(token, **fields))
    assert (store.find(token, NOW) is not None) is is_found
    assert store.find(generate_key(Mode.LIVE), NOW) is None
    assert store.find("rt_live_nonsense", NOW) is None


async def test_both_secrets_are_found_until_the_overlap_ends_when_a_key_is_rotated() -> None:
    old, new = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    store = store_of(
        stored(new, previous_hash=hash_key(old, PEPPER.encode()), previous_until=NOW_MS + 1000)
    )
    before, at_the_end = NOW + timedelta(milliseconds=999), NOW + timedelta(seconds=1)
    assert [store.find(token, before) is not None for token in (old, new)] == [True, True]
    assert [store.find(token, at_the_end) is not None for token in (old, new)] == [False, True]


@pytest.mark.parametrize("fields", [{"revoked_at": NOW_MS}, {"expires_at": NOW_MS}])
async def test_both_secrets_are_refused_when_a_rotated_key_is_not_valid(
    fields: dict[str, int],
) -> None:
    old, new = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    hash_ = hash_key(old, PEPPER.encode())
    store = store_of(stored(new, previous_hash=hash_, previous_until=NOW_MS + 60_000, **fields))
    assert [store.find(token, NOW) for token in (old, new)] == [None, None]


async def test_key_is_refused_at_the_millisecond_when_it_expires() -> None:
    token = generate_key(Mode.LIVE)
    store = store_of(stored(token, expires_at=NOW_MS))
    assert store.find(token, NOW - timedelta(milliseconds=1)) is not None
    assert store.find(token, NOW) is None
    assert store.find(token, NOW - timedelta(milliseconds=1)) is not None


@pytest.mark.parametrize(("previous", "is_found"), [(PEPPER, True), ("q" * 32, False)])
async def test_key_of_the_pepper_before_is_found_when_that_is_set(
    previous: str, is_found: bool
) -> None:
    token, later = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    settings = AccessSettings(
        pepper=SecretStr("n" * 32), previous_pepper=SecretStr(previous), refresh_interval_s=1
    )
    of_now = stored(later, id="key_2", key_hash=hash_key(later, b"n" * 32))
    store = store_of(stored(token), of_now, settings=settings)
    assert (store.find(token, NOW) is not None) is is_found
    assert store.find(later, NOW) is not None


async def test_garbage_is_refused_without_a_look_when_its_checksum_is_wrong() -> None:
    snapshot = NoLook()
    token = generate_key(Mode.LIVE)
    with pytest.raises(LookupError):
        find_secret(snapshot, token, [b"p"])
    for garbage in (token[:-1] + "!", token[:-7] + "A" + token[-6:], "rt_live_", "", token + "0"):
        if garbage != token:
            assert find_secret(snapshot, garbage, [b"p"]) is None


class NoLook(KeySnapshot):
    """A snapshot that nobody may look into."""

    def find(self, _digest: bytes) -> Secret | None:
        raise LookupError


async def test_use_is_noted_when_a_key_was_found_and_only_then() -> None:
    token, revoked = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    store = store_of(stored(token), stored(revoked, id="key_2", revoked_at=NOW_MS))
    for shown in (token, revoked, generate_key(Mode.LIVE)):
        store.find(shown, NOW)
    assert store.uses._noted == {"key_1": NOW}


@asynccontextmanager
async def reading(table: FakeClickHouse, clock: Clock | None = None) -> AsyncIterator[KeyStore]:
    """A store that reads this table."""
    store = KeyStore(SETTINGS, clock or Clock())
    running = asyncio.create_task(store.run(await table.connect()))
    try:
        yield store
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_snapshot_follows_the_table_and_outlives_its_absence() -> None:
    token, later = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    table = FakeClickHouse()
    table.keys.keys = [stored(token)]
    async with reading(table) as store:
        assert (store.is_fresh, store.can_judge) == (False, False)
        await until(lambda: store.find(token, NOW) is not None)
        table.failure = OperationalError("away")
        await tried(table)
        assert store.find(token, NOW) is not None
        table.keys.keys = [stored(later, id="key_2")]
        table.failure = None
        await until(lambda: store.find(token, NOW) is None)
        assert store.find(later, NOW) is not None


async def test_service_is_not_ready_and_then_refuses_when_keys_alone_cannot_be_read() -> None:
    token = generate_key(Mode.LIVE)
    table, clock = FakeClickHouse(), Clock()
    table.keys.keys = [stored(token)]
    async with reading(table, clock) as store:
        await until(lambda: store.is_fresh)
        table.keys_failure = DatabaseError("Code: 396. DB::Exception: Limit for result exceeded")
        await tried(table)
        clock.now += SETTINGS.max_unread_s - 1
        await tried(table)
        assert (store.is_fresh, store.can_judge) == (True, True)
        clock.now += 1
        assert (store.is_fresh, store.can_judge) == (False, True)
        assert store.find(token, NOW) is not None
        clock.now += 9 * SETTINGS.max_unread_s
        assert (store.is_fresh, store.can_judge) == (False, False)
        assert store.find(token, NOW) is None
        table.keys_failure = None
        await until(lambda: store.is_fresh)
        assert store.find(token, NOW) is not None


async def test_service_goes_on_for_a_day_when_clickhouse_is_away() -> None:
    token = generate_key(Mode.LIVE)
    table, clock = FakeClickHouse(), Clock()
    table.keys.keys = [stored(token)]
    async with reading(table, clock) as store:
        await until(lambda: store.is_fresh)
        table.failure = OperationalError("away")
        await tried(table)
        clock.now += SETTINGS.max_outage_s - 1
        await tried(table)
        assert (store.is_fresh, store.can_judge) == (True, True)
        clock.now += 1
        assert (store.is_fresh, store.can_judge) == (False, False)
        assert store.find(token, NOW) is None


async def test_age_counts_anew_when_clickhouse_was_away_in_between() -> None:
    table, clock = FakeClickHouse(), Clock()
    async with reading(table, clock) as store:
        await until(lambda: store.is_fresh)
        table.keys_failure = DatabaseError("Code: 241. DB::Exception: Memory limit exceeded")
        await tried(table)
        table.failure = OperationalError("away")
        await tried(table)
        clock.now += 10 * SETTINGS.max_unread_s
        table.failure = None
        await tried(table)
        assert store.is_fresh
        clock.now += SETTINGS.max_unread_s
        assert not store.is_fresh


async def tried(table: FakeClickHouse) -> None:
    """Return when the store has tried once more, from beginning to end."""
    attempts = table.attempts
    await until(lambda: table.attempts > attempts + 4)
