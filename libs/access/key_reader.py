"""Keeps a snapshot of the keys equal to the table, and reads no more of it than has changed.

Each time one cheap question: has any row come, gone or changed? If so, or once a minute, the sums
of the table's 256 buckets are compared with those that are held, and the buckets that differ are
read. No clock is asked and no order of arrival is trusted: late inserts, rows deleted by hand and
restored backups are seen like everything else. See docs/decisions/0021.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.key_snapshot import BUCKETS, Bucket, BucketSum, KeySnapshot, SecretRow

# Merges change the answer too: then the sums are compared in vain. What no statement of ours
# changes by itself is left out.
FINGERPRINT = """
SELECT toString(count()),
    toString(sum(cityHash64(tuple(id, updated_at, revoked_at, expires_at, key_hash))))
FROM api_keys
"""
# Revoked keys have no secrets; what is no hash can be none. The condition stands inside, so that no
# setting lets it filter rows before FINAL has found the last of each key.
_SECRETS = """
SELECT
    arrayJoin(arrayFilter(
        one -> revoked_at IS NULL AND match(one.1, '^[0-9a-f]{64}$'),
        [
            (toString(key_hash), toUnixTimestamp64Milli(expires_at)),
            (if(previous_until IS NULL, '', previous_hash),
                toUnixTimestamp64Milli(if(expires_at < previous_until, expires_at, previous_until)))
        ])) AS secret,
    (id, project_id, toString(mode), scopes, rate_per_minute, events_per_minute, secret.2)
        AS allows,
    substring(secret.1, 1, 2) AS bucket,
    cityHash64(secret.1, allows) AS checksum
FROM api_keys FINAL
"""
SUMS = f"""
SELECT bucket, count(), toString(sum(checksum)) FROM ({_SECRETS}) GROUP BY bucket
"""  # noqa: S608 - put together of constants
ROWS = f"""
SELECT secret.1, toString(checksum), allows FROM ({_SECRETS})
WHERE bucket IN {{buckets:Array(String)}}
"""  # noqa: S608 - put together of constants

_STATEMENT_S = 5.0
_COMPARED_EVERY_S = 60.0
# Few enough that no cap of a profile is met, and that an answer is small beside a service.
_ROWS_AT_ONCE = 5_000
# As many as are decoded in less than a millisecond: other requests go on between.
_ROWS_IN_A_SLICE = 500


class KeyReader:
    """Reads through a client of its own into a snapshot."""

    def __init__(self, client: AsyncClient, snapshot: KeySnapshot) -> None:
        self._client = client
        self._snapshot = snapshot
        self._seen = b""
        self._compared_at = 0.0

    async def refresh(self) -> None:
        """Make the snapshot what the table is. Raises what the driver does, TimeoutError, and
        ValueError (msgspec's errors are of its kind) where the answer is none of ours.
        """
        now = asyncio.get_running_loop().time()
        fingerprint = await self._ask(FINGERPRINT)
        if fingerprint == self._seen and now - self._compared_at < _COMPARED_EVERY_S:
            return
        sums = dict(_sums_of(await self._ask(SUMS)))
        for portion in portions(self._snapshot.differing(sums), sums):
            await self._read(portion)
        # What was changed between the two questions is looked at again next time.
        self._seen = b"" if self._snapshot.differing(sums) else fingerprint
        self._compared_at = now

    async def _read(self, numbers: Sequence[int]) -> None:
        names = [f"{number:02x}" for number in numbers]
        lines = _lines(await self._ask(ROWS, {"buckets": names}))
        buckets = {number: Bucket() for number in numbers}
        for start in range(0, len(lines), _ROWS_IN_A_SLICE):
            for line in lines[start : start + _ROWS_IN_A_SLICE]:
                row = _decode_row(line)
                buckets[int(row.key_hash[:2], 16)].add(row)
            await asyncio.sleep(0)
        for number, bucket in buckets.items():
            self._snapshot.install(number, bucket)

    async def _ask(self, sql: str, parameters: dict[str, Any] | None = None) -> bytes:
        async with asyncio.timeout(_STATEMENT_S):
            return await self._client.raw_query(sql, parameters, fmt="JSONCompactEachRow")


def portions(numbers: Sequence[int], sums: Mapping[int, BucketSum]) -> Iterator[Sequence[int]]:
    """The buckets in groups, each with about as many rows as are read at once."""
    portion: list[int] = []
    rows = 0
    for number in numbers:
        portion.append(number)
        rows += sums[number].secrets if number in sums else 0
        if rows >= _ROWS_AT_ONCE:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion


def _lines(body: bytes) -> Sequence[bytes]:
    return [line for line in body.split(b"\n") if line]


def _sums_of(body: bytes) -> Iterator[tuple[int, BucketSum]]:
    for line in _lines(body):
        name, secrets, checksum = _decode_sum(line)
        number = int(name, 16)
        if number not in BUCKETS:
            raise ValueError(f"no bucket: {number}")
        yield number, BucketSum(secrets, int(checksum))


_decode_row = msgspec.json.Decoder(SecretRow).decode
_decode_sum = msgspec.json.Decoder(tuple[str, int, str], strict=False).decode
