"""Rights as the server gives them: roles of the engine, and what it forgets about `system`.

All of the engine's statements run as its one user, `default`, who has a role for each of ours, and
takes one of them before each statement. So the engine's own code decides who may do what.

It decides otherwise than a server about one thing alone: there, `system` needs a grant
(`select_from_system_db_requires_grant` and its like, on unless a configuration says no); the
embedded engine reads no such configuration, and lets everybody read it. So that is looked at here.
"""

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape

from deploy.local.gateway.errors import ACCESS_DENIED, ServerError
from deploy.local.gateway.lexer import Token, bare, words
from deploy.local.gateway.users import User, Users

# What a server lets everybody read: `src/Access/ContextAccess.cpp`, addImplicitAccessRights.
FOR_ALL = frozenset(
    {
        "aggregate_function_combinators", "collations", "columns", "completions", "contributors",
        "current_roles", "data_type_families", "database_engines", "databases",
        "dictionary_layouts", "disk_types", "enabled_roles", "formats", "functions", "licenses",
        "one", "privileges", "quota_usage", "settings", "table_engines", "table_functions",
        "tables", "time_zones",
    }
)  # fmt: skip
_SYSTEM = frozenset({"system", "information_schema", "INFORMATION_SCHEMA"})
# Statements that read a table of `system` without naming it.
_READ_UNNAMED = {b"KILL": "processes", b"PROCESSLIST": "processes", b"MERGES": "merges"}
_GRANT_ON_SYSTEM = re.compile(
    r"GRANT\b.*\bSELECT\b.* ON (?P<database>system|information_schema)\.(?P<table>\w+|\*)",
    re.IGNORECASE,
)
_BY_PARAMETER = re.compile(rb":\s*Identifier\b")
_TABLE_OF_AST = re.compile(r"^\s*TableIdentifier (?P<name>\S+)(?: \(.*)?$", re.MULTILINE)

_USERS = """\
<clickhouse>
    <profiles><default></default></profiles>
    <quotas><default></default></quotas>
    <roles>
{roles}    </roles>
    <users>
        <default>
            <password></password>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants><query>GRANT {names}</query></grants>
        </default>
    </users>
</clickhouse>
"""
# The gateway itself: it makes external tables, and ends statements.
ROOT = "root"
_EVERYTHING = "GRANT ALL ON *.* WITH GRANT OPTION"


def role_of(users: Users, user: User) -> str:
    """The name of the role that a user's statements run in."""
    return f"user_{users.users.index(user)}"


def users_configuration(users: Users) -> str:
    """The engine's users_config, with a role for each user."""
    grants = {ROOT: [_EVERYTHING]}
    grants |= {role_of(users, user): users.grants_of(user) for user in users.users}
    roles = "".join(_role(name, of_role) for name, of_role in grants.items())
    return _USERS.format(roles=roles, names=", ".join(grants))


def _role(name: str, grants: Iterable[str]) -> str:
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    return f"        <{name}><grants>{queries}</grants></{name}>\n"


def reads_system(sql: bytes, database: str) -> bool:
    """Whether a statement could read a table of `system`, so that it must be looked at."""
    return (
        database in _SYSTEM
        or _BY_PARAMETER.search(bare(sql)) is not None
        or any(
            _name(token) in _SYSTEM or token.text.upper() in _READ_UNNAMED for token in words(sql)
        )
    )


def system_tables(sql: bytes, database: str, tree: str) -> set[str]:
    """The tables of `system` that a statement reads, as `system.name`.

    `tree`: its syntax tree (EXPLAIN AST), or nothing where the engine could not make one.
    """
    found = words(sql)
    named = {
        f"{_name(before)}.{_name(name)}"
        for before, dot, name in zip(found, found[1:], found[2:], strict=False)
        if dot.text == b"." and _name(before) in _SYSTEM
    }
    named |= {
        f"system.{_READ_UNNAMED[token.text.upper()]}"
        for token in found[:2]
        if token.kind == "word" and token.text.upper() in _READ_UNNAMED
    }
    for match in _TABLE_OF_AST.finditer(tree):
        first, _, rest = match["name"].partition(".")
        if rest and first in _SYSTEM:
            named.add(match["name"])
        elif not rest and database in _SYSTEM:
            named.add(f"{database}.{first}")
    return named


def _name(token: Token) -> str:
    return token.meant.decode(errors="replace")


def check_system(user: User, tables: Iterable[str], known: frozenset[str]) -> None:
    """Refuse tables of `system` that neither everybody nor this user may read. Raises 497.

    `known`: those that there are. What is none (a column, a CTE) is left to the engine.
    """
    if user.may_everything:
        return
    for table in sorted(tables):
        database, _, name = table.partition(".")
        if (name in known or database != "system") and not _may_read(user, database, name):
            raise ServerError(
                ACCESS_DENIED,
                f"{user.name}: Not enough privileges. To execute this query, it's necessary to have"
                f" the grant SELECT ON {table}",
            )


def _may_read(user: User, database: str, name: str) -> bool:
    if database == "system" and name in FOR_ALL:
        return True
    grants = (match for match in map(_GRANT_ON_SYSTEM.match, user.grants) if match)
    return any(
        match["database"].lower() == database.lower() and match["table"] in {"*", name}
        for match in grants
    )
