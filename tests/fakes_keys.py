"""The table of the keys in memory, as far as `libs/access/key_reader.py` asks it.

Its checksums are others than ClickHouse's: nobody but the one who answers reckons them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import msgspec

from libs.access.api_keys import ApiKey
from libs.access.key_reader import FINGERPRINT, ROWS, SUMS
from libs.access.key_snapshot import BUCKETS, Bucket, KeySnapshot, SecretRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FakeKeyTable:
    """Tests put keys in, change and remove them; each statement sees the list as it is then."""

    def __init__(self) -> None:
        self.keys: list[ApiKey] = []
        self.compared = 0  # each time that a reader begins anew

    def answer(self, sql: str, parameters: dict[str, Any]) -> bytes | None:
        """The lines of JSON that a statement of the reader gets; None for another one."""
        if sql == FINGERPRINT:
            self.compared += 1
            return _lines([[str(len(self.keys)), str(crc32(repr(self.keys).encode()))]])
        if sql == SUMS:
            return _lines(self._sums())
        if sql == ROWS:
            rows = rows_of(self.keys)
            return _lines(row for row in rows if row.key_hash[:2] in parameters["buckets"])
        return None

    def _sums(self) -> Iterator[list[object]]:
        buckets: defaultdict[str, Bucket] = defaultdict(Bucket)
        for row in rows_of(self.keys):
            buckets[row.key_hash[:2]].add(row)
        for name, bucket in buckets.items():
            yield [name, bucket.secrets, str(bucket.checksum)]


def keep(snapshot: KeySnapshot, keys: Iterable[ApiKey]) -> None:
    """Let a snapshot hold these keys and no others, as if it had read them."""
    buckets = {number: Bucket() for number in BUCKETS}
    for row in rows_of(keys):
        buckets[int(row.key_hash[:2], 16)].add(row)
    for number, bucket in buckets.items():
        snapshot.install(number, bucket)


def rows_of(keys: Iterable[ApiKey]) -> Iterator[SecretRow]:
    """The secrets of these keys: one each, or two while one is being rotated."""
    for key in keys:
        if key.revoked_at is None:
            yield _row(key, key.key_hash, key.expires_at)
            if key.previous_hash and key.previous_until is not None:
                ends = (key.previous_until, key.expires_at)
                yield _row(key, key.previous_hash, min(end for end in ends if end is not None))


def _row(key: ApiKey, key_hash: str, until: datetime | None) -> SecretRow:
    allows = msgspec.json.encode(
        [
            key.id,
            key.project_id,
            key.mode,
            sorted(key.scopes),
            key.rate_per_minute,
            key.events_per_minute,
            None if until is None else (until - _EPOCH) // timedelta(milliseconds=1),
        ]
    )
    return SecretRow(key_hash, str(crc32(key_hash.encode() + allows)), msgspec.Raw(allows))


def _lines(rows: Iterable[object]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
