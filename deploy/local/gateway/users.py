"""Who may come in and do what. The file is JSON: a list of users, passwords as SHA-256."""

import hashlib
import hmac
from pathlib import Path
from typing import Literal

import msgspec

from deploy.local.gateway.errors import ACCESS_DENIED, AUTHENTICATION_FAILED, ServerError


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user. A writer reads everything and inserts into the tables of `inserts_into`."""

    name: str
    password_sha256: str
    role: Literal["admin", "writer", "reader"]
    inserts_into: tuple[str, ...] = ()


def read_users(path: Path) -> dict[str, User]:
    """The users by name. Raises OSError or msgspec.ValidationError when the file is not right."""
    users = msgspec.json.decode(path.read_bytes(), type=list[User])
    return {user.name: user for user in users}


def authenticate(users: dict[str, User], name: str, password: str) -> User:
    """The user with this name and password. Raises ServerError 516."""
    user = users.get(name)
    digest = hashlib.sha256(password.encode()).hexdigest()
    if user is None or not hmac.compare_digest(digest, user.password_sha256):
        raise ServerError(
            AUTHENTICATION_FAILED,
            f"{name}: Authentication failed: password is incorrect, or there is no such user",
        )
    return user


def check_rights(user: User, kind: str, table: str) -> None:
    """Refuse what a user may not do; `kind` is read, insert, control or change. Raises 497."""
    allowed = (
        user.role == "admin"
        or kind == "read"
        or (
            user.role == "writer"
            and (kind == "control" or (kind == "insert" and table in user.inserts_into))
        )
    )
    if not allowed:
        raise ServerError(ACCESS_DENIED, f"{user.name}: Not enough privileges for this statement")
