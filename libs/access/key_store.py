"""The table `api_keys`: a snapshot that services look into, and the rows that the command writes.

A request costs no query: services hold all keys and look every few seconds what has changed, so a
revoked key is dead that much later. While ClickHouse is away the last snapshot goes on, for a time
that is set. When keys were used is noted on the way (`key_uses`).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.access.api_keys import (
    ActiveKey,
    ApiKey,
    Mode,
    Scope,
    hash_key,
    is_well_formed,
    key_digest,
)
from libs.access.key_reader import KeyReader
from libs.access.key_snapshot import KeySnapshot, Secret
from libs.access.key_uses import KeyUses
from libs.access.staleness import Staleness
from libs.clickhouse.connection import PING, first_line
from libs.settings import AccessSettings
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import KEY_SNAPSHOT_AGE_SECONDS

# Instants travel as integers: no time zone of client or server can bend them.
_SELECT = """
SELECT id, toString(key_hash), project_id, toString(mode), scopes, rate_per_minute, label,
    toUnixTimestamp64Milli(created_at),
    toUnixTimestamp64Milli(expires_at),
    toUnixTimestamp64Milli(revoked_at),
    events_per_minute, previous_hash, toUnixTimestamp64Milli(previous_until), pepper_id
FROM api_keys FINAL
"""
_SELECT_ALL = f"{_SELECT} ORDER BY created_at, id"
_SELECT_ONE = f"{_SELECT} WHERE id = {{id:String}}"
# A revocation outranks all other changes: one made at the same time must not undo it.
_INSERT = """
INSERT INTO api_keys (id, key_hash, project_id, mode, scopes, rate_per_minute, label, created_at,
    expires_at, revoked_at, events_per_minute, previous_hash, previous_until, pepper_id, updated_at)
SELECT {id:String}, {key_hash:String}, {project_id:String}, {mode:String}, {scopes:Array(String)},
    {rate_per_minute:Nullable(UInt32)}, {label:String},
    fromUnixTimestamp64Milli({created_at:Int64}, 'UTC'),
    fromUnixTimestamp64Milli({expires_at:Nullable(Int64)}, 'UTC'),
    fromUnixTimestamp64Milli({revoked_at:Nullable(Int64)}, 'UTC'),
    {events_per_minute:Nullable(UInt32)}, {previous_hash:String},
    fromUnixTimestamp64Milli({previous_until:Nullable(Int64)}, 'UTC'),
    {pepper_id:String},
    if({revoked_at:Nullable(Int64)} IS NULL, now64(6, 'UTC'), toDateTime64('2200-01-01', 6, 'UTC'))
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROBE_S = 5.0
# Of tokens that were shown: so many are looked up without hashing them again.
_REMEMBERED = 10_000

log = get_logger()


def key_of_row(row: Sequence[Any]) -> ApiKey:
    """A row of the table as a key. Scopes that this release does not know allow nothing."""
    key_id, key_hash, project_id, mode, scopes, rate, label, created, expires, revoked, *more = row
    events_per_minute, previous_hash, previous_until, pepper = more
    return ApiKey(
        id=key_id,
        key_hash=key_hash,
        project_id=project_id,
        mode=Mode(mode),
        scopes=frozenset(scope for scope in Scope if scope.value in scopes),
        rate_per_minute=rate,
        label=label,
        created_at=_EPOCH + timedelta(milliseconds=created),
        expires_at=_instant(expires),
        revoked_at=_instant(revoked),
        events_per_minute=events_per_minute,
        previous_hash=previous_hash,
        previous_until=_instant(previous_until),
        pepper_id=pepper,
    )


def find_secret(snapshot: KeySnapshot, token: str, peppers: Sequence[bytes]) -> Secret | None:
    """The secret that this token is, ended or not, or None."""
    # Hashed before anything is known: a refusal takes the same time whatever was shown.
    digests = [key_digest(token, pepper) for pepper in peppers]
    if not is_well_formed(token):
        return None
    found = (snapshot.find(digest) for digest in digests)
    return next((secret for secret in found if secret is not None), None)


def _instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)


def _milliseconds(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - _EPOCH) // timedelta(milliseconds=1)


class KeyStore:
    """The snapshot of the keys. `run` keeps it fresh; `find` never waits."""

    def __init__(
        self, settings: AccessSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        peppers = [settings.pepper, settings.previous_pepper]
        self._peppers = [one.get_secret_value().encode() for one in peppers if one is not None]
        self._refresh_interval_s = settings.refresh_interval_s
        self._staleness = Staleness(settings, clock)
        self._found: dict[bytes, Secret] = {}
        self._found_in = 0
        self.snapshot = KeySnapshot()
        self.uses = KeyUses()

    @property
    def is_fresh(self) -> bool:
        """Whether all keys have been read, lately enough to call the service ready."""
        return self.snapshot.is_complete and self._staleness.is_fresh

    @property
    def can_judge(self) -> bool:
        """Whether a key may be judged at all: else it is neither good nor bad, but not known."""
        return self.snapshot.is_complete and self._staleness.is_bearable

    def find(self, token: str, now: datetime) -> ActiveKey | None:
        """The usable key that this token is, or None: unknown, revoked and expired look alike.

        What was found is remembered until a key changes, under a digest: no token is kept, and as
        256 random bits made it, its digest lets nobody guess it.
        """
        if not self.can_judge:
            return None
        digest = sha256(token.encode()).digest()
        if self._found_in != self.snapshot.version or len(self._found) >= _REMEMBERED:
            self._found, self._found_in = {}, self.snapshot.version
        found = self._found.get(digest)
        if found is None:
            found = find_secret(self.snapshot, token, self._peppers)
            if found is None:
                return None
            self._found[digest] = found
        key, until = found
        if until is not None and now >= until:
            return None
        self.uses.note(key.id, now)
        return key

    def pseudonym(self, text: str) -> str:
        """Stands for a text, the same in all replicas, and does not tell it."""
        return hash_key(text, self._peppers[0])[:32]

    async def run(self, client: AsyncClient) -> None:
        """Look again and again what has changed, until cancelled."""
        reader = KeyReader(client, self.snapshot)
        while True:
            try:
                await reader.refresh()
            except (Error, OSError, TimeoutError, ValueError) as error:
                log.warning("keys.refresh_failed", error=first_line(error))
                self._staleness.failed(answers=await _answers(client))
            else:
                self._staleness.read()
            if (age_s := self._staleness.age_s) is not None:
                KEY_SNAPSHOT_AGE_SECONDS.set(age_s)
            await asyncio.sleep(self._refresh_interval_s)


async def _answers(client: AsyncClient) -> bool:
    """Whether ClickHouse answers at all: then it is the keys that cannot be read."""
    try:
        async with asyncio.timeout(_PROBE_S):
            await client.raw_query(PING)
    except (Error, OSError, TimeoutError):
        return False
    return True


async def list_keys(client: AsyncClient) -> list[ApiKey]:
    """All keys by age, the revoked and expired ones too."""
    result = await client.query(_SELECT_ALL)
    return [key_of_row(row) for row in result.result_rows]


async def add_key(client: AsyncClient, key: ApiKey) -> None:
    """Write a key. The same id again replaces it."""
    parameters = {
        "id": key.id,
        "key_hash": key.key_hash,
        "project_id": key.project_id,
        "mode": key.mode.value,
        "scopes": sorted(scope.value for scope in key.scopes),
        "rate_per_minute": key.rate_per_minute,
        "label": key.label,
        "created_at": _milliseconds(key.created_at),
        "expires_at": _milliseconds(key.expires_at),
        "revoked_at": _milliseconds(key.revoked_at),
        "events_per_minute": key.events_per_minute,
        "previous_hash": key.previous_hash,
        "previous_until": _milliseconds(key.previous_until),
        "pepper_id": key.pepper_id,
    }
    await client.command(_INSERT, parameters=parameters)


async def revoke_key(client: AsyncClient, key_id: str, now: datetime) -> bool:
    """Revoke a key; False when there is none of this id. The first revocation stands."""
    key = await stored_key(client, key_id)
    if key is not None and key.revoked_at is None:
        await add_key(client, replace(key, revoked_at=now))
    return key is not None


async def stored_key(client: AsyncClient, key_id: str) -> ApiKey | None:
    """What the table holds of a key, if it does."""
    result = await client.query(_SELECT_ONE, parameters={"id": key_id})
    return next((key_of_row(row) for row in result.result_rows), None)
