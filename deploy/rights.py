"""Writes the list of rights (`libs/clickhouse/rights.py`) as ClickHouse's files, and as a page.

On that page stands the list of those in Kafka (`libs/kafka/rights.py`) as well.

What is beside the grants in those files stands here: passwords, networks, the profile.
"""

import re

from deploy.local.layout import CHECKOUT
from libs.clickhouse.rights import (
    DATABASE,
    INSERT,
    RIGHTS,
    SELECT,
    SERVICES,
    Grant,
    rights_of,
    tables_of,
)
from libs.kafka.rights import KAFKA_RIGHTS, KafkaRight

USERS = CHECKOUT / "deploy" / "clickhouse" / "users.d" / "ragtime.xml"
PAGE = CHECKOUT / "docs" / "operating.md"
_OURS = "ragtime"
_WRITTEN = "Written by `make documents` from libs/clickhouse/rights.py."
# What the profile gives each statement that sets no limit of its own.
MAX_MEMORY_BYTES = 2_000_000_000

_USERS_HEAD = f"""\
<!-- Who may come in, and do what: docs/operating.md, "ClickHouse users". Passwords come from the
     server's environment. Mount it beside the image's own users.xml: its user `default` goes.
     {_WRITTEN} -->
<clickhouse>
    <profiles>
        <!-- The services set limits for each statement themselves; this is for all else. -->
        <ragtime>
            <max_memory_usage>{MAX_MEMORY_BYTES}</max_memory_usage>
        </ragtime>
    </profiles>
    <users>
        <default remove="remove"/>
        <!-- `admin` is the command `ragtime`: tables, keys, audit, doctor. -->
"""
_FOOT = "    </users>\n</clickhouse>\n"
_OF_USER = """\
            <password from_env="CLICKHOUSE_{name}_PASSWORD"/>
            <networks><ip>::/0</ip></networks>
            <profile>ragtime</profile>
            <quota>default</quota>
"""

_KAFKA_USERS = {"ragtime": "`ragtime`", "doctor": "for `ragtime doctor` alone"}

_BEGIN = "<!-- written by `make documents` -->\n"
_END = "<!-- end -->\n"
_MADE = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
_FOR_THE_COMMAND = """\
| for `ragtime init` and `migrate` | all on the database, `CREATE DATABASE` too |
| for `ragtime doctor` | `SELECT` on the database and on `system` |
| for `ragtime keys` | `SELECT`, `INSERT` on `api_keys`, `key_changes`; `SELECT` on `key_uses`, \
`key_activity` |
"""


def users_file() -> str:
    """The text of users.d/ragtime.xml."""
    users = "".join(
        f"        <{name}>\n{_OF_USER.format(name=name.upper())}"
        f"{_grants(rights_of(name))}        </{name}>\n"
        for name in RIGHTS
    )
    return _USERS_HEAD + users + _FOOT


def _grants(grants: tuple[Grant, ...]) -> str:
    queries = "".join(f"                <query>{one.sql(_OURS)}</query>\n" for one in grants)
    return f"            <grants>\n{queries}            </grants>\n"


def page() -> str:
    """docs/operating.md with tables of rights, and the statements for one user, written anew."""
    made = iter((_kafka_table(), _table(), _statements("query")))
    return _MADE.sub(lambda _: f"{_BEGIN}{next(made)}{_END}", PAGE.read_text("utf-8"))


def _kafka_table() -> str:
    rows = "".join(
        f"| {_KAFKA_USERS.get(user, user)} | {_kafka_words(rights)} |\n"
        for user, rights in KAFKA_RIGHTS.items()
    )
    return f"\n| user | may |\n|---|---|\n{rows}\n"


def _kafka_words(rights: tuple[KafkaRight, ...]) -> str:
    told = ((", ".join(f"`{one}`" for one in right.operations), right.on) for right in rights)
    return "; ".join(f"{operations} on {on}" for operations, on in told)


def _table() -> str:
    rows = "".join(f"| {name} | {_words(rights_of(name))} |\n" for name in SERVICES)
    return f"\n| user | may |\n|---|---|\n{rows}{_FOR_THE_COMMAND}\n"


def _words(grants: tuple[Grant, ...]) -> str:
    reads = _names(tables_of(grants, SELECT), grants)
    system = [f"`system.{one.system_table}`" for one in grants if one.system_table]
    inserts = _names(tables_of(grants, INSERT), grants)
    return f"`SELECT` on {', '.join([*reads, *system])}; `INSERT` into {', '.join(inserts)}"


def _names(tables: frozenset[str], grants: tuple[Grant, ...]) -> list[str]:
    return [f"`{grant.table}`" for grant in grants if grant.table in tables]


def _statements(user: str) -> str:
    lines = "".join(f"    {grant.sql(_OURS)} TO {user};\n" for grant in rights_of(user))
    return f"\n    CREATE USER {user} IDENTIFIED BY 'a long password';\n{lines}\n"


def gateway_grants(user: str) -> list[str]:
    """The grants of a user for the gateway's file, which knows the databases itself."""
    return [grant.sql(DATABASE) for grant in rights_of(user)]
