"""Who may come in. The file is JSON: users with their grants, passwords as SHA-256.

What a user may do says the engine itself: it gets a role for each of them (`roles.py`).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from deploy.local.gateway.errors import (
    AUTHENTICATION_FAILED,
    NOT_IMPLEMENTED,
    READONLY,
    ServerError,
)

_DATABASE = "{database}"
_EVERYTHING = re.compile(r"GRANT ALL ON \*\.\*")
_KILL = re.compile(r"GRANT\b.*\bKILL QUERY\b.* ON \*\.\*")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user. `grants`: in SQL without `TO …`; `{database}` in one stands for each database.

    `settings`: those of its profile, which go with each of its statements.
    """

    name: str
    password_sha256: str
    grants: tuple[str, ...] = ()
    settings: dict[str, str] = {}

    @property
    def may_everything(self) -> bool:
        return any(map(_EVERYTHING.match, self.grants))

    @property
    def may_kill_all(self) -> bool:
        """Whether it may end statements of others. Its own it may always end."""
        return self.may_everything or any(map(_KILL.match, self.grants))


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """All users, and the databases that their grants are for."""

    databases: tuple[str, ...]
    users: tuple[User, ...]

    def grants_of(self, user: User) -> list[str]:
        """What a user is granted, each database by its name."""
        return [
            grant.replace(_DATABASE, database)
            for grant in user.grants
            for database in (self.databases if _DATABASE in grant else ("",))
        ]


def read_users(path: Path) -> Users:
    """The users. Raises OSError or msgspec.ValidationError when the file is not right."""
    return msgspec.json.decode(path.read_bytes(), type=Users)


def authenticate(users: Users, name: str, password: str) -> User:
    """The user with this name and password. Raises ServerError 516."""
    digest = hashlib.sha256(password.encode(errors="surrogateescape")).hexdigest()
    for user in users.users:
        if user.name == name and hmac.compare_digest(digest, user.password_sha256):
            return user
    raise ServerError(
        AUTHENTICATION_FAILED,
        f"{name}: Authentication failed: password is incorrect, or there is no user with such"
        " name.",
    )


def check_settings(user: User, settings: Mapping[str, str], *, in_session: bool = False) -> None:
    """Refuse settings of a user whose profile lets it change none. Raises ServerError 164.

    Such a user's session could not be told whose its next statement is: 48.
    """
    if user.settings.get("readonly") == "1" and in_session:
        raise ServerError(NOT_IMPLEMENTED, "Sessions of users in readonly mode are not served here")
    if user.settings.get("readonly") == "1" and settings:
        name = min(settings)
        raise ServerError(READONLY, f"Cannot modify '{name}' setting in readonly mode")
