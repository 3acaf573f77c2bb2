"""Each migration as a cluster gets it, and what is refused because nobody said what it means."""

import re
from pathlib import Path

import pytest

from libs.clickhouse.cluster import (
    SHARDED,
    WHOLE,
    UnknownStatementError,
    on_cluster,
    on_this_server,
    rendered,
)
from libs.clickhouse.migrations import read_migrations

# As they should be. After a new migration look at what it is rendered to, then write it there.
EXPECTED = Path(__file__).parent / "migrations_of_a_cluster.sql"
TABLE = (
    "CREATE TABLE IF NOT EXISTS {database}.%s\n(\n    kp UInt16\n)\nENGINE = MergeTree\nORDER BY kp"
)


def statements() -> list[str]:
    return [sql for one in read_migrations() for sql in one.statements]


def test_migrations_for_a_cluster_are_as_they_were_written_down() -> None:
    found = [f"{one};\n" for sql in statements() for one in rendered(sql, "ragtime", "c1")]
    assert "\n".join(found) == EXPECTED.read_text("utf-8")


def test_migrations_are_the_files_themselves_when_there_is_one_server() -> None:
    for sql in statements():
        assert rendered(sql, "ragtime", "") == (sql.replace("{database}", "ragtime"),)
    assert on_cluster("") == ""
    assert on_this_server("SELECT 1 FROM events", "") == "SELECT 1 FROM events"


def test_tables_are_sharded_when_they_have_the_partition_in_their_rows() -> None:
    columns = dict(
        re.findall(r"CREATE TABLE IF NOT EXISTS \{database\}\.(\w+)(.*?)ENGINE", _all(), re.DOTALL)
    )
    assert {
        name for name, text in columns.items() if re.search(r"^ +kp ", text, re.MULTILINE)
    } == SHARDED
    assert columns.keys() | {"migrations"} == SHARDED | WHOLE


def _all() -> str:
    return "\n".join(statements())


@pytest.mark.parametrize("name", sorted(SHARDED))
def test_sharded_table_is_made_anew_after_each_change_of_its_columns(name: str) -> None:
    added = f"ALTER TABLE {{database}}.{name}\n    ADD COLUMN IF NOT EXISTS x UInt8"
    changed, anew = rendered(added, "d", "c")
    assert changed.startswith(f"ALTER TABLE d.{name}_local ON CLUSTER 'c' ADD COLUMN")
    assert anew == (
        f"CREATE OR REPLACE TABLE d.{name} ON CLUSTER 'c' AS d.{name}_local"
        f" ENGINE = Distributed('c', 'd', '{name}_local', kp)"
    )


def test_whole_table_is_changed_once_for_all_servers() -> None:
    added = "ALTER TABLE {database}.topics\n    ADD COLUMN IF NOT EXISTS x UInt8"
    assert rendered(added, "d", "c") == (added.replace("{database}", "d"),)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DROP TABLE {database}.events", "not known for a cluster: DROP"),
        ("INSERT INTO {database}.topics SELECT 'a', 1, now64(3)", "not known for a cluster"),
        ("CREATE TABLE {database}.events (kp UInt16) ENGINE = MergeTree ORDER BY kp", "not known"),
        (TABLE % "visitors", "neither in SHARDED nor in WHOLE"),
        (TABLE % "topics" + "\nSETTINGS index_granularity = 1", "settings of a table"),
        ((TABLE % "topics").replace("MergeTree", "Log"), "not known for a cluster"),
        ("ALTER TABLE {database}.events DELETE WHERE kp = 1", "this change is not known"),
        ("ALTER TABLE {database}.events\n    ADD COLUMN IF NOT EXISTS a UInt8,\n"
         "    MODIFY SETTING ttl_only_drop_parts = 1", "this change is not known"),
        ("ALTER TABLE {database}.topics MODIFY SETTING ttl_only_drop_parts = 1", "only columns"),
        ("ALTER TABLE {database}.visitors ADD COLUMN IF NOT EXISTS a UInt8", "neither in"),
        ("CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.v TO {database}.sources AS\n"
         "SELECT\n    1\nFROM {database}.topics\nWHERE 1", "one sharded table"),
        ("CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.v TO {database}.sources AS\n"
         "SELECT\n    1\nFROM {database}.events\nWHERE 1 IN (SELECT 1 FROM {database}.topics)",
         "one sharded table"),
    ],
)  # fmt: skip
def test_statement_is_refused_when_it_is_not_known_for_a_cluster(sql: str, told: str) -> None:
    with pytest.raises(UnknownStatementError, match=re.escape(told)):
        rendered(sql, "d", "c")
    assert rendered(sql, "d", "") == (sql.replace("{database}", "d"),)


def test_only_names_of_sharded_tables_are_those_of_one_server() -> None:
    sql = (
        "SELECT count() FROM events, x.events WHERE table IN ('daily_counts', '_events', 'sources')"
    )
    assert on_this_server(sql, "c") == (
        "SELECT count() FROM events_local, x.events"
        " WHERE table IN ('daily_counts_local', '_events', 'sources')"
    )
