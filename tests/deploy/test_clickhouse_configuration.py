"""deploy/clickhouse, read by the real engine: who there is, who may what, what it does not log.

The engine as a library reads the same files as the server, with the same code; what only the server
does with them (ports, passwords asked over HTTP) is not seen here.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.layout import CHECKOUT
from libs.clickhouse.rights import INSERT, RIGHTS, SERVICES, rights_of, tables_of

_SERVER = """\
<clickhouse>
    <users_config>users.xml</users_config>
    <mysql_port>9004</mysql_port>
    <text_log><database>system</database><table>text_log</table></text_log>
    <metric_log><database>system</database><table>metric_log</table></metric_log>
    <query_log>
        <database>system</database><table>query_log</table>
        <partition_by>toYYYYMM(event_date)</partition_by>
    </query_log>
    <backup_log>
        <database>system</database><table>backup_log</table>
        <partition_by>toYYYYMM(event_date)</partition_by>
    </backup_log>
    <crash_log>
        <database>system</database><table>crash_log</table>
        <partition_by/>
    </crash_log>
    <s3queue_log><database>system</database><table>s3queue_log</table></s3queue_log>
</clickhouse>
"""
_DEFAULT_USER = """\
<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password/><networks><ip>::/0</ip></networks>
            <profile>default</profile><quota>default</quota>
            <access_management>1</access_management>
        </default>
    </users>
</clickhouse>
"""
_ASK = """
import json, sys
import chdb
engine = chdb.connect("data?config-file=config.xml")
def rows(sql):
    return [json.loads(line) for line in str(engine.query(sql, "JSONEachRow")).splitlines()]
engine.query("CREATE TABLE default.kept ENGINE = MergeTree ORDER BY n AS SELECT 1 AS n")
engine.query("BACKUP TABLE default.kept TO Memory('kept')")
engine.query("SYSTEM FLUSH LOGS")
answer = {
    "users": rows("SELECT name FROM system.users"),
    "grants": rows("SELECT user_name, toString(access_type) access, database, table, grant_option"
                   " FROM system.grants WHERE user_name != 'default'"),
    "logs": rows("SELECT name, create_table_query FROM system.tables"
                 " WHERE database = 'system' AND name LIKE '%_log' AND engine LIKE '%MergeTree'"),
    "settings": rows("SELECT name, value FROM system.server_settings"),
}
json.dump(answer, open("answer.json", "w"))
"""

Answer = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    folder = tmp_path_factory.mktemp("clickhouse")
    for part in ("config.d", "users.d"):
        shutil.copytree(CHECKOUT / "deploy" / "clickhouse" / part, folder / part)
    (folder / "config.xml").write_text(_SERVER)
    (folder / "users.xml").write_text(_DEFAULT_USER)
    # The test itself needs a user to come in with; read last, as it stands behind the others.
    (folder / "users.d" / "zz-test.xml").write_text(_DEFAULT_USER)
    return _asked(folder)


def _asked(folder: Path) -> Answer:
    passwords = {f"CLICKHOUSE_{name.upper()}_PASSWORD": f"of-{name}" for name in RIGHTS}
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=folder,
        env=os.environ | passwords,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: Answer = json.loads((folder / "answer.json").read_text())
    return found


def test_there_is_a_user_for_each_service(answer: Answer) -> None:
    assert {user["name"] for user in answer["users"]} == {*RIGHTS, "default"}


def test_the_images_default_user_is_removed(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "deploy" / "clickhouse" / "users.d", tmp_path / "users.d")
    (tmp_path / "config.xml").write_text(_SERVER)
    (tmp_path / "users.xml").write_text(_DEFAULT_USER)
    with pytest.raises(AssertionError, match=r"(?s)default.*there is no user"):
        _asked(tmp_path)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_insert_where_it_must_and_change_nothing(answer: Answer, name: str) -> None:
    grants = [grant for grant in answer["grants"] if grant["user_name"] == name]
    assert {grant["access"] for grant in grants} == {"SELECT", "INSERT"}
    assert {grant["database"] for grant in grants} <= {"ragtime", "system"}
    assert all(grant["table"] for grant in grants)
    assert not any(grant["grant_option"] for grant in grants)
    inserts = {grant["table"] for grant in grants if grant["access"] == "INSERT"}
    assert inserts == tables_of(rights_of(name), INSERT)


def test_the_processor_alone_looks_at_what_runs(answer: Answer) -> None:
    of_system = [grant for grant in answer["grants"] if grant["database"] == "system"]
    services = [one for one in of_system if one["user_name"] in SERVICES]
    assert [(one["user_name"], one["table"]) for one in services] == [("processor", "processes")]


def test_the_command_may_do_all_in_its_database_alone(answer: Answer) -> None:
    grants = [grant for grant in answer["grants"] if grant["user_name"] == "admin"]
    assert {"CREATE TABLE", "INSERT", "SELECT"} <= {grant["access"] for grant in grants}
    assert {"ragtime", "system"} >= {grant["database"] for grant in grants if grant["database"]}
    assert {g["access"] for g in grants if g["database"] == "system"} == {"SELECT"}


def test_what_the_server_writes_about_itself_is_little_and_ends(answer: Answer) -> None:
    logs = {log["name"]: log["create_table_query"] for log in answer["logs"]}
    days = {"query_log": 7, "part_log": 7, "backup_log": 90, "crash_log": 90}
    assert {"query_log", "backup_log"} <= set(logs) <= set(days)
    for name, query in logs.items():
        assert f"TTL event_date + toIntervalDay({days[name]})" in query


def test_memory_is_bounded_for_small_hosts(answer: Answer) -> None:
    settings = {setting["name"]: setting["value"] for setting in answer["settings"]}
    assert float(settings["max_server_memory_usage_to_ram_ratio"]) == 0.75
    assert int(settings["mark_cache_size"]) <= 256 * 1024 * 1024
