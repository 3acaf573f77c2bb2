"""Who may do what in ClickHouse: the one list of rights, of which everything else is written.

From it come deploy/clickhouse/users.d/ragtime.xml, the table "ClickHouse users" of
docs/operating.md (`make documents`), the users of the local stack's gateway, and what `ragtime
doctor` asks for. A right that a statement needs is added here, and nowhere else.

What a server asks a statement for, and where that is written: docs/decisions/0019.
"""

from collections.abc import Iterable
from dataclasses import dataclass

DATABASE = "{database}"
SELECT, INSERT = "SELECT", "INSERT"
SERVICES = ("ingest", "processor", "query")


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges on what: `{database}.events`, `system.processes`, `*.*`.

    `optional`: the service does without it, and says so in its log.
    """

    privileges: tuple[str, ...]
    on: str
    optional: bool = False

    @property
    def table(self) -> str | None:
        """The table of ours that it is about."""
        database, _, name = self.on.partition(".")
        return name if database == DATABASE and name != "*" else None

    @property
    def system_table(self) -> str | None:
        """The table of `system` that it is about; `*` for all of them."""
        database, _, name = self.on.partition(".")
        return name if database == "system" else None

    def sql(self, database: str) -> str:
        """The statement without `TO …`."""
        return f"GRANT {', '.join(self.privileges)} ON {self.on.replace(DATABASE, database)}"


def _on(table: str, *privileges: str, optional: bool = False) -> Grant:
    return Grant(privileges, f"{DATABASE}.{table}", optional)


_READS_MIGRATIONS = _on("migrations", SELECT)
_WRITES_KEY_USES = (
    _on("key_uses", INSERT, optional=True),
    _on("key_activity", INSERT, optional=True),
)

# By user. `admin` is the command `ragtime`.
RIGHTS: dict[str, tuple[Grant, ...]] = {
    "admin": (
        _on("*", "ALL"),
        Grant(("TABLE ENGINE",), "*"),
        Grant((SELECT,), "system.*"),
        Grant(("READ", "WRITE"), "DISK"),  # BACKUP and RESTORE
    ),
    "ingest": (_on("api_keys", SELECT), _READS_MIGRATIONS, *_WRITES_KEY_USES),
    "processor": (
        _on("events", SELECT, INSERT),
        _on("daily_counts", SELECT, INSERT),
        # It mends the names of sources from the events, and reads what it mends nowhere.
        _on("source_names", INSERT),
        _on("topics", SELECT),
        _READS_MIGRATIONS,
        # Which inserts run; KILL QUERY reads it as well, with the right of whoever kills.
        Grant((SELECT,), "system.processes"),
    ),
    "query": (
        _on("events", SELECT),
        _on("daily_counts", SELECT),
        _on("source_names", SELECT),
        _on("retention", SELECT),  # of which days all raw events are there
        _on("api_keys", SELECT),
        _READS_MIGRATIONS,
        *_WRITES_KEY_USES,
    ),
}


def rights_of(user: str) -> tuple[Grant, ...]:
    """What a user is granted."""
    return RIGHTS[user]


def tables_of(grants: Iterable[Grant], privilege: str) -> frozenset[str]:
    """The tables of ours that one may read, or insert into."""
    return frozenset(
        grant.table for grant in grants if grant.table and privilege in grant.privileges
    )
