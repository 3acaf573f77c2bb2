"""Who comes in, and what they may do."""

import hashlib
from typing import Literal

import pytest

from deploy.local.gateway.errors import ServerError
from deploy.local.gateway.users import (
    User,
    authenticate,
    check_rights,
    check_settings,
    check_tables,
    tables_of,
)

_DIGEST = hashlib.sha256(b"right").hexdigest()
_Role = Literal["admin", "writer", "reader"]


def _user(role: _Role) -> User:
    return User(name=role, password_sha256=_DIGEST, role=role, inserts_into=("events",))


@pytest.mark.parametrize(("name", "password"), [("admin", "wrong"), ("admin", ""), ("x", "right")])
def test_user_stays_out_when_name_or_password_is_wrong(name: str, password: str) -> None:
    with pytest.raises(ServerError) as refused:
        authenticate({"admin": _user("admin")}, name, password)

    assert refused.value.code == 516


@pytest.mark.parametrize(
    ("role", "kind", "table"),
    [
        ("admin", "change", ""),
        ("admin", "kill", ""),
        ("writer", "read", ""),
        ("writer", "insert", "events"),
        ("reader", "read", ""),
        ("reader", "insert", "events"),
    ],
)
def test_statement_is_allowed_when_it_is_within_the_role(
    role: _Role, kind: str, table: str
) -> None:
    check_rights(_user(role), kind, table)


@pytest.mark.parametrize(
    ("role", "kind", "table"),
    [
        ("writer", "insert", "others"),
        ("writer", "change", ""),
        ("reader", "insert", "others"),
        ("reader", "change", ""),
        ("reader", "kill", ""),
    ],
)
def test_statement_is_refused_when_it_is_beyond_the_role(
    role: _Role, kind: str, table: str
) -> None:
    with pytest.raises(ServerError) as refused:
        check_rights(_user(role), kind, table)

    assert refused.value.code == 497


_USERS = (
    User(name="a", password_sha256="", role="reader", reads=("events",), inserts_into=("uses",)),
    User(name="b", password_sha256="", role="writer", reads=("keys",)),
    User(name="c", password_sha256="", role="admin"),
)


@pytest.mark.parametrize(
    ("user", "kind", "named"),
    [
        (0, "read", {"events", "unknown"}),
        (0, "insert", {"events", "uses"}),
        (1, "read", {"keys"}),
        (2, "read", {"events", "uses", "keys"}),
    ],
)
def test_table_may_be_named_when_it_is_for_the_user(user: int, kind: str, named: set[str]) -> None:
    check_tables(_USERS[user], kind, frozenset(named), tables_of(_USERS))


@pytest.mark.parametrize(
    ("user", "kind", "named"),
    [(0, "read", {"events", "keys"}), (0, "read", {"uses"}), (1, "insert", {"events"})],
)
def test_statement_is_refused_when_it_names_a_table_of_others(
    user: int, kind: str, named: set[str]
) -> None:
    with pytest.raises(ServerError) as refused:
        check_tables(_USERS[user], kind, frozenset(named), tables_of(_USERS))

    assert refused.value.code == 497


def test_log_comment_is_refused_when_a_reader_sets_it() -> None:
    check_settings(_user("writer"), {"log_comment": "x"})
    with pytest.raises(ServerError) as refused:
        check_settings(_user("reader"), {"log_comment": "x"})

    assert refused.value.code == 452
