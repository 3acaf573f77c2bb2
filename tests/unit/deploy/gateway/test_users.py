"""Who comes in, and what the engine is told that they may do."""

import hashlib

import pytest

from deploy.local.gateway.errors import ServerError
from deploy.local.gateway.roles import (
    check_system,
    reads_system,
    role_of,
    system_tables,
    users_configuration,
)
from deploy.local.gateway.users import User, Users, authenticate, check_settings

_DIGEST = hashlib.sha256(b"right").hexdigest()


def _user(name: str, *grants: str, readonly: str = "") -> User:
    settings = {"readonly": readonly} if readonly else {}
    return User(name=name, password_sha256=_DIGEST, grants=grants, settings=settings)


def _users(*users: User) -> Users:
    return Users(databases=("one", "two"), users=users)


@pytest.mark.parametrize(("name", "password"), [("admin", "wrong"), ("admin", ""), ("x", "right")])
def test_user_stays_out_when_name_or_password_is_wrong(name: str, password: str) -> None:
    with pytest.raises(ServerError) as refused:
        authenticate(_users(_user("admin")), name, password)

    assert refused.value.code == 516


def test_grants_are_for_each_database_when_they_name_one_in_braces() -> None:
    user = _user("a", "GRANT SELECT ON {database}.events", "GRANT SELECT ON system.processes")

    assert _users(user).grants_of(user) == [
        "GRANT SELECT ON one.events",
        "GRANT SELECT ON two.events",
        "GRANT SELECT ON system.processes",
    ]


def test_engine_has_a_role_for_each_user_and_one_that_may_everything() -> None:
    users = _users(_user("a", "GRANT SELECT ON one.a"), _user("b", "GRANT SELECT ON one.<b>"))

    text = users_configuration(users)

    assert role_of(users, users.users[1]) == "user_1"
    assert "<user_0><grants><query>GRANT SELECT ON one.a</query></grants></user_0>" in text
    assert "GRANT SELECT ON one.&lt;b&gt;" in text
    assert "<grants><query>GRANT root, user_0, user_1</query></grants>" in text


@pytest.mark.parametrize(
    ("grants", "everything", "kills"),
    [
        (("GRANT ALL ON *.* WITH GRANT OPTION",), True, True),
        (("GRANT ALL ON one.*",), False, False),
        (("GRANT CLUSTER, KILL QUERY ON *.*",), False, True),
        ((), False, False),
    ],
)
def test_user_may_end_what_others_run_when_it_is_granted(
    grants: tuple[str, ...], *, everything: bool, kills: bool
) -> None:
    user = _user("a", *grants)

    assert (user.may_everything, user.may_kill_all) == (everything, kills)


@pytest.mark.parametrize(
    ("sql", "database", "tree", "tables"),
    [
        (b"SELECT 1 FROM system.processes", "d", "", {"system.processes"}),
        (b'SELECT 1 FROM `system` /* . */ . "parts"', "d", "", {"system.parts"}),
        (b"SELECT a IN system.merges", "d", "", {"system.merges"}),
        (b"KILL QUERY WHERE 1", "d", "", {"system.processes"}),
        (b"SHOW PROCESSLIST", "d", "", {"system.processes"}),
        (b"SELECT 1 FROM parts", "system", "   TableIdentifier parts\n", {"system.parts"}),
        (b"SELECT 1 FROM parts", "d", "   TableIdentifier parts\n", set()),
        (
            b"SELECT 1 FROM information_schema.tables", "d", "",
            {"information_schema.tables"},
        ),
    ],
)  # fmt: skip
def test_tables_of_system_are_found_however_they_are_named(
    sql: bytes, database: str, tree: str, tables: set[str]
) -> None:
    assert reads_system(sql, database) is bool(tables)
    assert system_tables(sql, database, tree) == tables


_KNOWN = frozenset({"processes", "parts", "one", "settings"})


@pytest.mark.parametrize(
    ("grants", "table"),
    [
        ((), "system.one"),
        ((), "system.settings"),
        ((), "system.a_column"),
        (("GRANT SELECT ON system.processes",), "system.processes"),
        (("GRANT SELECT, INSERT ON system.*",), "system.parts"),
        (("GRANT ALL ON *.*",), "system.parts"),
    ],
)
def test_table_of_system_is_read_when_all_may_or_this_user_is_granted(
    grants: tuple[str, ...], table: str
) -> None:
    check_system(_user("a", *grants), {table}, _KNOWN)


@pytest.mark.parametrize(
    ("grants", "table"),
    [
        ((), "system.processes"),
        (("GRANT SELECT ON system.processes",), "system.parts"),
        (("GRANT SELECT ON one.*",), "system.processes"),
        (("GRANT SELECT ON system.*",), "information_schema.tables"),
    ],
)
def test_table_of_system_is_refused_when_nobody_granted_it(
    grants: tuple[str, ...], table: str
) -> None:
    with pytest.raises(ServerError) as refused:
        check_system(_user("a", *grants), {table}, _KNOWN)

    assert refused.value.code == 497
    assert f"the grant SELECT ON {table}" in str(refused.value)


def test_settings_are_refused_when_the_profile_lets_none_change() -> None:
    check_settings(_user("a"), {"max_threads": "1"})
    check_settings(_user("a", readonly="1"), {})
    with pytest.raises(ServerError) as refused:
        check_settings(_user("a", readonly="1"), {"max_threads": "1"})

    assert refused.value.code == 164
