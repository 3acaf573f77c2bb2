"""Who comes in, and what they may do."""

import hashlib
from typing import Literal

import pytest

from deploy.local.gateway.errors import ServerError
from deploy.local.gateway.users import User, authenticate, check_rights, check_settings

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


def test_log_comment_is_refused_when_a_reader_sets_it() -> None:
    check_settings(_user("writer"), {"log_comment": "x"})
    with pytest.raises(ServerError) as refused:
        check_settings(_user("reader"), {"log_comment": "x"})

    assert refused.value.code == 452
