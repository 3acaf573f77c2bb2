"""Who may come in and do what. The file is JSON: a list of users, passwords as SHA-256."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from deploy.local.gateway.errors import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    SETTING_CONSTRAINT_VIOLATION,
    ServerError,
)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user. It reads the tables of `reads` and inserts into those of `inserts_into`.

    An admin may do everything. A reader brings the rows along: its statements run in the engine's
    `readonly` mode.
    """

    name: str
    password_sha256: str
    role: Literal["admin", "writer", "reader"]
    reads: tuple[str, ...] = ()
    inserts_into: tuple[str, ...] = ()


def read_users(path: Path) -> dict[str, User]:
    """The users by name. Raises OSError or msgspec.ValidationError when the file is not right."""
    users = msgspec.json.decode(path.read_bytes(), type=list[User])
    return {user.name: user for user in users}


def authenticate(users: dict[str, User], name: str, password: str) -> User:
    """The user with this name and password. Raises ServerError 516."""
    user = users.get(name)
    digest = hashlib.sha256(password.encode(errors="surrogateescape")).hexdigest()
    if user is None or not hmac.compare_digest(digest, user.password_sha256):
        raise ServerError(
            AUTHENTICATION_FAILED,
            f"{name}: Authentication failed: password is incorrect, or there is no such user",
        )
    return user


def check_rights(user: User, kind: str, table: str) -> None:
    """Refuse what a user may not do; `kind` is read, insert, kill or change. Raises 497."""
    allowed = (
        user.role == "admin"
        or kind == "read"
        or (kind == "insert" and table in user.inserts_into)
        or (kind == "kill" and user.role == "writer")
    )
    if not allowed:
        raise ServerError(ACCESS_DENIED, f"{user.name}: Not enough privileges for this statement")


def tables_of(users: Iterable[User]) -> frozenset[str]:
    """The tables that somebody may read or fill, by name."""
    return frozenset(table for user in users for table in (*user.reads, *user.inserts_into))


def check_tables(user: User, kind: str, named: frozenset[str], known: frozenset[str]) -> None:
    """Refuse a statement that names a known table which is not for this user. Raises 497."""
    own = {*user.reads, *(user.inserts_into if kind == "insert" else ())}
    foreign = (named & known) - own
    if user.role != "admin" and foreign:
        raise ServerError(
            ACCESS_DENIED, f"{user.name}: Not enough privileges for {', '.join(sorted(foreign))}"
        )


def check_settings(user: User, settings: Mapping[str, str]) -> None:
    """Refuse a reader's own log comment: under another's, both are killed as one. Raises 452."""
    if user.role == "reader" and "log_comment" in settings:
        raise ServerError(SETTING_CONSTRAINT_VIOLATION, "Setting log_comment should not be changed")
