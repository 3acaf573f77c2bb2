"""What `ragtime keys` makes and shows. A key itself is shown once and never kept."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from libs.access.api_keys import (
    NO_LIMIT,
    ApiKey,
    Mode,
    Scope,
    generate_key,
    hash_key,
    pepper_id,
)

MAX_RATE = 1_000_000
MAX_EVENTS_RATE = 1_000_000_000
MAX_DAYS = 36_500
UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a person asked for."""

    project_id: str
    scopes: frozenset[Scope]
    mode: Mode
    rate_per_minute: int | None
    label: str
    expires_days: int | None
    events_per_minute: int | None = None


def make_key(request: KeyRequest, pepper: bytes, now: datetime) -> tuple[str, ApiKey]:
    """A new key and what is stored of it."""
    key = generate_key(request.mode)
    days = request.expires_days
    return key, ApiKey(
        id=f"key_{secrets.token_hex(8)}",
        key_hash=hash_key(key, pepper),
        project_id=request.project_id,
        mode=request.mode,
        scopes=request.scopes,
        rate_per_minute=request.rate_per_minute,
        label=request.label,
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
        revoked_at=None,
        events_per_minute=request.events_per_minute,
        pepper_id=pepper_id(pepper),
    )


def rotate_key(key: ApiKey, pepper: bytes, overlap: timedelta, now: datetime) -> tuple[str, ApiKey]:
    """A new secret for a key, and what is stored; the one before counts for the overlap."""
    secret = generate_key(key.mode)
    return secret, replace(
        key,
        key_hash=hash_key(secret, pepper),
        pepper_id=pepper_id(pepper),
        previous_hash=key.key_hash,
        previous_until=now + overlap,
    )


def events_rate(text: str) -> int:
    """Events a minute as a person writes them: a number, or `unlimited`. 0: the default.

    Raises ValueError with what would be right.
    """
    if text == UNLIMITED:
        return NO_LIMIT
    if text.isdecimal() and text.isascii() and int(text) <= MAX_EVENTS_RATE:
        return int(text)
    raise ValueError(f"a number of 0 (the default) to {MAX_EVENTS_RATE}, or {UNLIMITED}")


def spelt_events(rate: int | None) -> int | str | None:
    """The same for people to read; None: the default."""
    return UNLIMITED if rate == NO_LIMIT else rate


def with_rates(key: ApiKey, rate: int | None, events: int | None) -> ApiKey:
    """The key with other rates. None leaves a rate as it is, 0 takes the key's own away: then the
    default of the service counts.
    """
    return replace(
        key,
        rate_per_minute=key.rate_per_minute if rate is None else rate or None,
        events_per_minute=key.events_per_minute if events is None else events or None,
    )


def as_json(key: ApiKey, used_at: datetime | None = None) -> dict[str, object]:
    """What lists show of a key: everything but its hashes."""
    return {
        "id": key.id,
        "projectId": key.project_id,
        "mode": key.mode.value,
        "scopes": sorted(scope.value for scope in key.scopes),
        "ratePerMinute": key.rate_per_minute,
        "eventsPerMinute": spelt_events(key.events_per_minute),
        "label": key.label,
        "createdAt": _iso(key.created_at),
        "expiresAt": _iso(key.expires_at),
        "revokedAt": _iso(key.revoked_at),
        "previousSecretUntil": _iso(key.previous_until),
        "lastUsedAt": _iso(used_at),
        "pepper": key.pepper_id,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
