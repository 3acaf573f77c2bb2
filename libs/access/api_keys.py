"""API keys: how they are made, recognised and hashed. Pure.

A key is `rt_live_` or `rt_test_`, 32 random bytes in base62 (43 characters) and a checksum over
both (6 characters), so that a mistyped or made-up key is refused without a look-up and a leaked
one is found by scanners. What is stored is an HMAC of it: the table alone lets nobody in.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zlib import crc32

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = frozenset(_ALPHABET)
_SECRET_BYTES = 32
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6

# Events a minute of a key without a limit: as many as a column of the table can hold. An older
# release that reads it goes by it as well, as by any number that nobody reaches.
NO_LIMIT = 2**32 - 1


class Scope(StrEnum):
    """What a key allows."""

    ANALYTICS_READ = "analytics:read"
    EVENTS_WRITE = "events:write"


class Mode(StrEnum):
    """A test key never writes live events."""

    LIVE = "live"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key.

    `rate_per_minute` and `events_per_minute` None: the default of the service. While a key is being
    rotated it has two secrets: the one before counts until `previous_until`. `pepper_id` tells
    which pepper made `key_hash`; it is empty where an older release did.
    """

    id: str
    key_hash: str
    project_id: str
    mode: Mode
    scopes: frozenset[Scope]
    rate_per_minute: int | None
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    events_per_minute: int | None = None
    previous_hash: str = ""
    previous_until: datetime | None = None
    pepper_id: str = ""

    def is_usable(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class ActiveKey:
    """What a service knows of a key that it lets in.

    `rate_per_minute`, `events_per_minute` None: the default of the service.
    """

    id: str
    project_id: str
    mode: Mode
    scopes: frozenset[Scope]
    rate_per_minute: int | None = None
    events_per_minute: int | None = None


def generate_key(mode: Mode) -> str:
    """A new key, with 256 bits from the system's source of randomness."""
    number = int.from_bytes(secrets.token_bytes(_SECRET_BYTES), "big")
    key = f"rt_{mode.value}_{_base62(number, _SECRET_LENGTH)}"
    return key + _checksum(key)


def is_well_formed(key: str) -> bool:
    """Whether this can be a key at all: prefix, length, alphabet, checksum."""
    prefix, secret = key[:8], key[8:]
    return (
        prefix in ("rt_live_", "rt_test_")
        and len(secret) == _SECRET_LENGTH + _CHECKSUM_LENGTH
        and _DIGITS.issuperset(secret)
        and _checksum(key[:-_CHECKSUM_LENGTH]) == key[-_CHECKSUM_LENGTH:]
    )


def hash_key(key: str, pepper: bytes) -> str:
    """What is stored in place of the key: HMAC-SHA-256 in hexadecimal."""
    return key_digest(key, pepper).hex()


def key_digest(key: str, pepper: bytes) -> bytes:
    """The same as 32 bytes: what services hold of a key in memory."""
    return hmac.digest(pepper, key.encode(), "sha256")


def pepper_id(pepper: bytes) -> str:
    """A name for a pepper, by which nobody can guess it: it tells which keys it has made."""
    return hmac.digest(pepper, b"the name of this pepper", "sha256").hex()[:8]


def _checksum(text: str) -> str:
    return _base62(crc32(text.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
