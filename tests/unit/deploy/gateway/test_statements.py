"""What a request asks for, taken apart."""

import pytest

from deploy.local.gateway import statements
from deploy.local.gateway.errors import ServerError


def test_parameters_are_sorted_when_settings_and_values_are_mixed() -> None:
    asked = statements.parameters(
        {"query": "SELECT 1", "database": "d", "param_x": "1", "max_threads": "2", "user": "u"}
    )

    assert (asked.sql, asked.database, asked.user) == (b"SELECT 1", "d", "u")
    assert asked.values == {"x": "1"}
    assert asked.settings == {"max_threads": "2"}


@pytest.mark.parametrize("name", ["a b", "a=1,b", "1a", "", "a'"])
def test_parameters_are_refused_when_a_setting_is_no_name(name: str) -> None:
    with pytest.raises(ServerError) as refused:
        statements.parameters({name: "1"})

    assert refused.value.code == 115


@pytest.mark.parametrize(
    "head",
    [
        b"INSERT INTO d.t FORMAT TSV\n1\n",
        b"insert into `d`.`t` (a, b) format TSV\n1\n",
        b"INSERT INTO t SETTINGS async_insert = 0 FORMAT TSV\n1\n",
    ],
)
def test_insert_gives_table_format_and_data_when_data_follow(head: bytes) -> None:
    found = statements.insert_with_data(head)

    assert found is not None
    insert, data = found
    assert (insert.table, insert.format, data) == ("t", "TSV", b"1\n")


@pytest.mark.parametrize(
    "head",
    [
        b"INSERT INTO t VALUES (1)",
        b"INSERT INTO t SELECT 1 FORMAT TSV",
        b"SELECT 1 FORMAT TSV",
    ],
)
def test_insert_is_left_to_the_engine_when_no_data_follow(head: bytes) -> None:
    assert statements.insert_with_data(head) is None


def test_format_is_taken_off_when_it_ends_a_statement() -> None:
    assert statements.split_format(b"SELECT 1\n FORMAT Native") == (b"SELECT 1\n", "Native")
    assert statements.split_format(b"SELECT 1") == (b"SELECT 1", "TabSeparated")


def test_query_id_is_looked_for_in_the_log_comment_when_a_query_is_killed() -> None:
    kill = statements.rewritten(b"KILL QUERY WHERE query_id = 'x'")

    assert kill == b"KILL QUERY WHERE Settings['log_comment'] = 'x'"
    assert statements.rewritten(b"SELECT query_id") == b"SELECT query_id"
