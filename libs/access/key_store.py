"""The table `api_keys`: a snapshot that services look into, and the rows that the command writes.

A request costs no query: services hold the whole table and read it again every few seconds, so a
revoked key is dead that much later. While ClickHouse is away the last snapshot goes on.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.access.api_keys import ApiKey, Mode, Scope, hash_key, is_well_formed
from libs.clickhouse.connection import first_line
from libs.settings import AccessSettings
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import KEY_SNAPSHOT_AGE_SECONDS

# Instants travel as integers: no time zone of client or server can bend them.
_SELECT = """
SELECT id, toString(key_hash), project_id, toString(mode), scopes, rate_per_minute, label,
    toUnixTimestamp64Milli(created_at),
    toUnixTimestamp64Milli(expires_at),
    toUnixTimestamp64Milli(revoked_at)
FROM api_keys FINAL
ORDER BY created_at, id
"""
_INSERT = """
INSERT INTO api_keys
SELECT {id:String}, {key_hash:String}, {project_id:String}, {mode:String}, {scopes:Array(String)},
    {rate_per_minute:Nullable(UInt32)}, {label:String},
    fromUnixTimestamp64Milli({created_at:Int64}, 'UTC'),
    fromUnixTimestamp64Milli({expires_at:Nullable(Int64)}, 'UTC'),
    fromUnixTimestamp64Milli({revoked_at:Nullable(Int64)}, 'UTC'),
    now64(6)
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REFRESH_TIMEOUT_S = 5.0

log = get_logger()


def key_of_row(row: Sequence[Any]) -> ApiKey:
    """A row of the table as a key. Scopes that this release does not know allow nothing."""
    key_id, key_hash, project_id, mode, scopes, rate, label, created, expires, revoked = row
    return ApiKey(
        id=key_id,
        key_hash=key_hash,
        project_id=project_id,
        mode=Mode(mode),
        scopes=frozenset(scope for scope in Scope if scope.value in scopes),
        rate_per_minute=rate,
        label=label,
        created_at=_instant(created),
        expires_at=None if expires is None else _instant(expires),
        revoked_at=None if revoked is None else _instant(revoked),
    )


def find_key(snapshot: dict[str, ApiKey], token: str, pepper: bytes) -> ApiKey | None:
    """The key that this token is, usable or not, or None."""
    return snapshot.get(hash_key(token, pepper)) if is_well_formed(token) else None


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _milliseconds(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - _EPOCH) // timedelta(milliseconds=1)


class KeyStore:
    """The snapshot of the keys. `run` keeps it fresh; `find` never waits."""

    def __init__(self, settings: AccessSettings) -> None:
        self._pepper = settings.pepper.get_secret_value().encode()
        self._refresh_interval_s = settings.refresh_interval_s
        self._snapshot: dict[str, ApiKey] = {}
        self._found: dict[bytes, ApiKey] = {}
        self._loaded_at: float | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the table has been read at least once; before, no key can be judged."""
        return self._loaded_at is not None

    def find(self, token: str, now: datetime) -> ApiKey | None:
        """The usable key that this token is, or None: unknown, revoked and expired look alike.

        What was found is remembered until the table is read again, under a digest: no token is
        kept, and as 256 random bits made it, its digest lets nobody guess it.
        """
        digest = sha256(token.encode()).digest()
        key = self._found.get(digest)
        if key is None:
            key = find_key(self._snapshot, token, self._pepper)
            if key is None:
                return None
            self._found[digest] = key
        return key if key.is_usable(now) else None

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Judge by these keys from now on."""
        self._snapshot = {key.key_hash: key for key in keys}
        self._found = {}
        self._loaded_at = asyncio.get_running_loop().time()

    async def run(self, client: AsyncClient) -> None:
        """Read the table again and again, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                    self.replace(await list_keys(client))
            except (Error, OSError, TimeoutError) as error:
                log.warning("keys.refresh_failed", error=first_line(error))
            if self._loaded_at is not None:
                age_s = asyncio.get_running_loop().time() - self._loaded_at
                KEY_SNAPSHOT_AGE_SECONDS.set(age_s)
            await asyncio.sleep(self._refresh_interval_s)


async def list_keys(client: AsyncClient) -> list[ApiKey]:
    """All keys by age, the revoked and expired ones too."""
    result = await client.query(_SELECT)
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
    }
    await client.command(_INSERT, parameters=parameters)


async def revoke_key(client: AsyncClient, key_id: str, now: datetime) -> bool:
    """Revoke a key; False when there is none of this id. The first revocation stands."""
    found = [key for key in await list_keys(client) if key.id == key_id]
    for key in found:
        if key.revoked_at is None:
            await add_key(client, replace(key, revoked_at=now))
    return bool(found)
