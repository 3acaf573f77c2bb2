"""What `ragtime keys` makes and shows. A key itself is shown once and never kept."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.access.api_keys import ApiKey, Mode, Scope, generate_key, hash_key

MAX_RATE = 1_000_000
MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a person asked for."""

    project_id: str
    scopes: frozenset[Scope]
    mode: Mode
    rate_per_minute: int | None
    label: str
    expires_days: int | None


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
    )


def as_json(key: ApiKey) -> dict[str, object]:
    """What lists show of a key: everything but its hash."""
    return {
        "id": key.id,
        "projectId": key.project_id,
        "mode": key.mode.value,
        "scopes": sorted(scope.value for scope in key.scopes),
        "ratePerMinute": key.rate_per_minute,
        "label": key.label,
        "createdAt": _iso(key.created_at),
        "expiresAt": _iso(key.expires_at),
        "revokedAt": _iso(key.revoked_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
