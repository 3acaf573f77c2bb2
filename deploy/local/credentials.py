"""The secrets of a local stack: made once, kept in a file that only its owner reads."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from deploy.local.layout import Layout
from deploy.rights import gateway_grants
from libs.clickhouse.rights import RIGHTS

# The databases of a local stack, the scratch one of `make schema` too; tests have others.
DATABASES = ("ragtime", "ragtime_schema")


def read_secrets(where: Layout) -> dict[str, str]:
    """A password for each user of ClickHouse, and `pepper`; made at the first call."""
    if not where.secrets.exists():
        made = {name: secrets.token_urlsafe(24) for name in RIGHTS}
        write_private(where.secrets, json.dumps(made | {"pepper": secrets.token_urlsafe(48)}))
    found: dict[str, str] = json.loads(where.secrets.read_text())
    return found


def write_users(
    path: Path, passwords: dict[str, str], databases: Iterable[str] = DATABASES
) -> None:
    """The gateway's file of users, with hashes instead of passwords."""
    users = [
        {
            "name": name,
            "password_sha256": hashlib.sha256(passwords[name].encode()).hexdigest(),
            "grants": gateway_grants(name),
        }
        for name in RIGHTS
    ]
    write_private(path, json.dumps({"databases": list(databases), "users": users}))


def write_private(path: Path, text: str) -> None:
    """Write a file, all of it or nothing, that nobody else can read, not even for a moment."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    half.replace(path)
