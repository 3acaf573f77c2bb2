"""The same tables on several servers: how a statement for one becomes those for a cluster.

A table with Kafka's partition in its rows is sharded by it: `events_local` on each server, and
`events` the `Distributed` table over all of them. Every other table is whole on each server. Only
forms of statements that are known here are rendered: what is not is refused, not guessed. Why it
is done like this: docs/decisions/0017.
"""

import re

SHARDED = frozenset({"daily_counts", "events"})
WHOLE = frozenset({"api_keys", "key_uses", "migrations", "retention", "sources", "topics"})

# What goes with each statement that makes or changes tables: it has been done everywhere, or fails.
SETTINGS: dict[str, str | int] = {
    "alter_sync": 2,
    "distributed_ddl_output_mode": "throw",
    "distributed_ddl_task_timeout": 25,
}

# Two batches may add the same counts to the same day: the second is no repeat of the first.
_NO_DEDUPLICATION = "\nSETTINGS replicated_deduplication_window = 0"
_COMMENTS = re.compile(r"(?:--[^\n]*\n|\s)*")
_TABLE = re.compile(
    r"CREATE TABLE IF NOT EXISTS \{database\}\.(?P<name>\w+)\s*(?P<columns>\(.*\))"
    r"\s+ENGINE = (?P<engine>\w*MergeTree)(?:\((?P<arguments>\w+)\))?"
    r"\s+(?P<keys>[^;]*ORDER BY [^;]*)",
    re.DOTALL,
)
_VIEW = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS \{database\}\.(?P<name>\w+)"
    r" TO \{database\}\.(?P<target>\w+) AS\n"
    r"(?P<select>SELECT\n.*\nFROM )\{database\}\.(?P<source>\w+)\n(?P<rest>.*)",
    re.DOTALL,
)
_ALTER = re.compile(r"ALTER TABLE \{database\}\.(?P<name>\w+)\s+(?P<changes>.*)", re.DOTALL)
_COLUMN = re.compile(r"(?:ADD COLUMN IF NOT EXISTS|MODIFY COLUMN) ")
_SETTING = re.compile(r"MODIFY SETTING [^\n]*")
_SHARDED_NAME = re.compile(rf"(?<![\w.])({'|'.join(sorted(SHARDED))})\b")


class UnknownStatementError(Exception):
    """A statement of which nobody has said here what a cluster needs."""


def on_cluster(cluster: str) -> str:
    """What stands behind a table's name where a statement is for all servers of a cluster."""
    return f" ON CLUSTER '{cluster}'" if cluster else ""


def on_this_server(sql: str, cluster: str) -> str:
    """A statement that asks for the rows, parts or engine that the asked server itself has."""
    return _SHARDED_NAME.sub(r"\1_local", sql) if cluster else sql


def rendered(statement: str, database: str, cluster: str) -> tuple[str, ...]:
    """The statements for a migration's one. Without a cluster it is that one.

    Raises UnknownStatementError.
    """
    found = _for_cluster(statement, cluster) if cluster else (statement,)
    return tuple(one.replace("{database}", database) for one in found)


def _for_cluster(statement: str, cluster: str) -> tuple[str, ...]:
    sql = _COMMENTS.sub("", statement, count=1)  # those at its head
    if match := _TABLE.fullmatch(sql):
        return _table(match, cluster)
    if match := _VIEW.fullmatch(sql):
        return (_view(match, cluster),)
    if match := _ALTER.fullmatch(sql):
        return _alter(match, cluster)
    raise UnknownStatementError(f"not known for a cluster: {sql[:100]}")


def _table(match: re.Match[str], cluster: str) -> tuple[str, ...]:
    name = match["name"]
    if "SETTINGS" in match["keys"]:
        raise UnknownStatementError(f"settings of a table are not known for a cluster: {name}")
    is_sharded = _is_sharded(name)
    place, local = ("{shard}", f"{name}_local") if is_sharded else ("all", name)
    # Over all shards a replica's own name may stand twice.
    arguments = f"'/clickhouse/tables/{place}/{{database}}/{local}', '{{shard}}-{{replica}}'"
    if match["arguments"]:
        arguments += f", {match['arguments']}"
    made = (
        f"CREATE TABLE IF NOT EXISTS {{database}}.{local}{on_cluster(cluster)}\n"
        f"{match['columns']}\n"
        f"ENGINE = Replicated{match['engine']}({arguments})\n"
        f"{match['keys']}"
    )
    return (made + _NO_DEDUPLICATION, _distributed(name, cluster)) if is_sharded else (made,)


def _distributed(name: str, cluster: str) -> str:
    """The table over all shards. It is made anew whenever the columns beneath may have changed."""
    return (
        f"CREATE OR REPLACE TABLE {{database}}.{name}{on_cluster(cluster)}"
        f" AS {{database}}.{name}_local"
        f" ENGINE = Distributed('{cluster}', '{{database}}', '{name}_local', kp)"
    )


def _view(match: re.Match[str], cluster: str) -> str:
    source, target = match["source"], match["target"]
    if not _is_sharded(source) or "{database}" in match["select"] + match["rest"]:
        raise UnknownStatementError(f"a view of one sharded table is known: {match['name']}")
    into = f"{target}_local" if _is_sharded(target) else target
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.{match['name']}{on_cluster(cluster)}"
        f" TO {{database}}.{into} AS\n"
        f"{match['select']}{{database}}.{source}_local\n{match['rest']}"
    )


def _alter(match: re.Match[str], cluster: str) -> tuple[str, ...]:
    name, changes = match["name"], match["changes"]
    of_columns = all(map(_COLUMN.match, re.split(r",\s*\n\s*", changes)))
    if not _is_sharded(name):
        if not of_columns:
            raise UnknownStatementError(f"only columns change in a whole table: {name}: {changes}")
        return (match[0],)  # it goes to all replicas by itself; told to each shard, they collide
    if not of_columns and not _SETTING.fullmatch(changes):
        raise UnknownStatementError(f"this change is not known for a cluster: {name}: {changes}")
    changed = f"ALTER TABLE {{database}}.{name}_local{on_cluster(cluster)} {changes}"
    return (changed, _distributed(name, cluster)) if of_columns else (changed,)


def _is_sharded(name: str) -> bool:
    if name not in SHARDED | WHOLE:
        raise UnknownStatementError(f"{name} is named neither in SHARDED nor in WHOLE")
    return name in SHARDED
