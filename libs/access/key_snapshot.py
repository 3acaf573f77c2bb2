"""What a service holds of all keys: their hashes, and for each what it allows. Pure.

100,000 keys take about 30 MB: a key is two strings of bytes, which are decoded when the key is
shown. They lie in 256 buckets by the first byte of the hash. Each bucket has the sum of its rows'
checksums as ClickHouse reckoned them, so that a bucket that differs from the table's is found, and
read alone, whatever has made it differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from libs.access.api_keys import ActiveKey, Mode, Scope

BUCKETS = range(256)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHECKSUMS = 1 << 64

# A key, and until when one of its secrets stands for it.
Secret = tuple[ActiveKey, datetime | None]


class SecretRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A secret as ClickHouse gives it. `allows`: the fields of `_Allowed`, not decoded yet."""

    key_hash: str
    checksum: str
    allows: msgspec.Raw


class _Allowed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    id: str
    project_id: str
    mode: Mode
    scopes: list[str]
    rate_per_minute: int | None
    events_per_minute: int | None
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class BucketSum:
    """How many secrets a bucket has, and the sum of their checksums, modulo 2⁶⁴."""

    secrets: int = 0
    checksum: int = 0


@dataclass(slots=True)
class Bucket:
    """The secrets whose hashes begin with the same byte."""

    allows: dict[bytes, bytes] = field(default_factory=dict)
    secrets: int = 0
    checksum: int = 0

    def add(self, row: SecretRow) -> None:
        """Take one in. Raises ValueError where its hash is no hash."""
        self.allows[bytes.fromhex(row.key_hash)] = bytes(row.allows)
        self.secrets += 1
        self.checksum = (self.checksum + int(row.checksum)) % _CHECKSUMS

    @property
    def sum(self) -> BucketSum:
        """What the table's bucket must have to be the same."""
        return BucketSum(self.secrets, self.checksum)


class KeySnapshot:
    """All secrets that stand for a key now, or did when each bucket was read."""

    def __init__(self) -> None:
        self._buckets: list[Bucket | None] = [None for _ in BUCKETS]
        self.is_complete = False
        self.version = 0

    def __len__(self) -> int:
        return sum(bucket.secrets for bucket in self._buckets if bucket is not None)

    def differing(self, sums: Mapping[int, BucketSum]) -> Sequence[int]:
        """The buckets that hold something else than these sums tell, or were never read."""
        empty = BucketSum()
        return [
            number
            for number, bucket in enumerate(self._buckets)
            if bucket is None or bucket.sum != sums.get(number, empty)
        ]

    def install(self, number: int, bucket: Bucket) -> None:
        """Judge by this bucket from now on."""
        self._buckets[number] = bucket
        self.is_complete = self.is_complete or None not in self._buckets
        self.version += 1

    def find(self, digest: bytes) -> Secret | None:
        """What this hash of 32 bytes stands for, whether it has ended or not.

        A row that this release cannot read stands for nothing.
        """
        bucket = self._buckets[digest[0]]
        allows = None if bucket is None else bucket.allows.get(digest)
        return None if allows is None else _secret_of(allows)


def _secret_of(allows: bytes) -> Secret | None:
    try:
        allowed = _decode(allows)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    until_ms = allowed.until_ms
    key = ActiveKey(
        id=allowed.id,
        project_id=allowed.project_id,
        mode=allowed.mode,
        scopes=frozenset(scope for scope in Scope if scope.value in allowed.scopes),
        rate_per_minute=allowed.rate_per_minute,
        events_per_minute=allowed.events_per_minute,
    )
    return key, None if until_ms is None else _EPOCH + timedelta(milliseconds=until_ms)


# Servers may write integers of 64 bits in quotes.
_decode = msgspec.json.Decoder(_Allowed, strict=False).decode
