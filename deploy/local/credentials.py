"""The secrets of a local stack: made once, kept in a file that only its owner reads."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from deploy.local.layout import Layout

# Who may do what in ClickHouse; each service has the least it needs.
ROLES: dict[str, dict[str, Any]] = {
    "admin": {"role": "admin"},
    "ingest": {
        "role": "reader",
        "reads": ["api_keys", "migrations"],
        "inserts_into": ["key_uses"],
    },
    "processor": {
        "role": "writer",
        "reads": ["events", "daily_counts", "topics", "migrations"],
        "inserts_into": ["events", "daily_counts", "sources"],
    },
    "query": {
        "role": "reader",
        "reads": ["events", "daily_counts", "sources", "api_keys", "migrations"],
        "inserts_into": ["key_uses"],
    },
}


def read_secrets(where: Layout) -> dict[str, str]:
    """A password for each user of ClickHouse, and `pepper`; made at the first call."""
    if not where.secrets.exists():
        made = {name: secrets.token_urlsafe(24) for name in ROLES}
        write_private(where.secrets, json.dumps(made | {"pepper": secrets.token_urlsafe(48)}))
    found: dict[str, str] = json.loads(where.secrets.read_text())
    return found


def write_users(path: Path, passwords: dict[str, str]) -> None:
    """The gateway's file of users, with hashes instead of passwords."""
    users = [
        {
            "name": name,
            "password_sha256": hashlib.sha256(passwords[name].encode()).hexdigest(),
            **rights,
        }
        for name, rights in ROLES.items()
    ]
    write_private(path, json.dumps(users))


def write_private(path: Path, text: str) -> None:
    """Write a file, all of it or nothing, that nobody else can read, not even for a moment."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    half.replace(path)
