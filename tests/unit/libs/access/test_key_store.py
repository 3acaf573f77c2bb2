"""The snapshot of the keys."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from pydantic import SecretStr

from libs.access.api_keys import Mode, Scope, generate_key, hash_key
from libs.access.key_store import KeyStore, Secret, find_secret, key_of_row
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
    store = KeyStore(SETTINGS)
    store.replace([key_of_row(row_of(token, **fields))])
    assert (store.find(token, NOW) is not None) is is_found
    assert store.find(generate_key(Mode.LIVE), NOW) is None
    assert store.find("rt_live_nonsense", NOW) is None


async def test_both_secrets_are_found_until_the_overlap_ends_when_a_key_is_rotated() -> None:
    old, new = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    store = KeyStore(SETTINGS)
    rotated = row_of(
        new, previous_hash=hash_key(old, PEPPER.encode()), previous_until=NOW_MS + 1000
    )
    store.replace([key_of_row(rotated)])
    before, at_the_end = NOW + timedelta(milliseconds=999), NOW + timedelta(seconds=1)
    assert [store.find(token, before) is not None for token in (old, new)] == [True, True]
    assert [store.find(token, at_the_end) is not None for token in (old, new)] == [False, True]


@pytest.mark.parametrize("fields", [{"revoked_at": NOW_MS}, {"expires_at": NOW_MS}])
async def test_both_secrets_are_refused_when_a_rotated_key_is_not_valid(
    fields: dict[str, int],
) -> None:
    old, new = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    store = KeyStore(SETTINGS)
    hash_ = hash_key(old, PEPPER.encode())
    row = row_of(new, previous_hash=hash_, previous_until=NOW_MS + 60_000, **fields)
    store.replace([key_of_row(row)])
    assert [store.find(token, NOW) for token in (old, new)] == [None, None]


async def test_key_is_refused_at_the_millisecond_when_it_expires() -> None:
    token = generate_key(Mode.LIVE)
    store = KeyStore(SETTINGS)
    store.replace([key_of_row(row_of(token, expires_at=NOW_MS))])
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
    store = KeyStore(settings)
    row = row_of(later, id="key_2", key_hash=hash_key(later, b"n" * 32))
    store.replace([key_of_row(row_of(token)), key_of_row(row)])
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


class NoLook(dict[str, Secret]):
    """A snapshot that nobody may look into."""

    def __contains__(self, _hash: object) -> bool:
        raise LookupError


async def test_use_is_noted_when_a_key_was_found_and_only_then() -> None:
    token, revoked = generate_key(Mode.LIVE), generate_key(Mode.LIVE)
    store = KeyStore(SETTINGS)
    rows = [row_of(token), row_of(revoked, id="key_2", revoked_at=NOW_MS)]
    store.replace(key_of_row(row) for row in rows)
    for shown in (token, revoked, generate_key(Mode.LIVE)):
        store.find(shown, NOW)
    assert store.uses._noted == {"key_1": NOW}


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
