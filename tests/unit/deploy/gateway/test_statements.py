"""What a request asks for, taken apart."""

import pytest

from deploy.local.gateway import statements
from deploy.local.gateway.errors import ServerError
from deploy.local.gateway.parameters import parameters


def test_parameters_are_sorted_when_settings_and_values_are_mixed() -> None:
    asked = parameters(
        {"query": "SELECT 1", "database": "d", "param_x": "1", "max_threads": "2", "user": "u"}
    )

    assert (asked.sql, asked.database, asked.user) == (b"SELECT 1", "d", "u")
    assert asked.values == {"x": "1"}
    assert asked.settings == {"max_threads": "2"}


@pytest.mark.parametrize("name", ["a b", "a=1,b", "1a", "a'"])
def test_parameters_are_refused_when_a_setting_is_no_name(name: str) -> None:
    with pytest.raises(ServerError) as refused:
        parameters({name: "1"})

    assert refused.value.code == 115


@pytest.mark.parametrize(
    "head",
    [
        b"INSERT INTO d.t FORMAT TSV\n1\n",
        b"insert into `d`.`t` (a, b) format TSV\n1\n",
        b"INSERT INTO t SETTINGS async_insert = 0 FORMAT TSV\n1\n",
        b"/* a comment */ INSERT -- another\nINTO t # and another\n FORMAT TSV\n1\n",
        b"INSERT INTO t (a)FORMAT TSV;\n1\n",
        b"INSERT INTO TABLE t FORMAT TSV 1\n",
        b"INSERT INTO `d`.`it\\`s``` (a) FORMAT TSV\n1\n",
    ],
)
def test_insert_gives_format_and_data_when_data_follow(head: bytes) -> None:
    found = statements.insert_with_data(head)

    assert found is not None
    insert, data = found
    assert (insert.format, data) == ("TSV", b"1\n")


@pytest.mark.parametrize(
    "head",
    [
        b"INSERT INTO t VALUES (1)",
        b"INSERT INTO t SELECT 1 FORMAT TSV",
        b"SELECT 1 FORMAT TSV",
        b"INSERT INTO t FROM/**/INFILE '/etc/hostname' FORMAT TSV\n",
        b"INSERT INTO FUNCTION file('x') FORMAT TSV\n",
        b"INSERT INTO t /* FORMAT TSV\n */ VALUES (1)",
        b"INSERT INTO t" + b" " * 200_000 + b"1",
    ],
)
def test_insert_is_left_to_the_engine_when_no_data_follow(head: bytes) -> None:
    assert statements.insert_with_data(head) is None


@pytest.mark.parametrize(
    "head",
    [b"INSERT INTO t FORMAT TSV", b"INSERT INTO t FORMAT TSV\r", b"INSERT INTO t FORMAT TSV; "],
)
def test_insert_waits_for_more_when_its_head_could_go_on(head: bytes) -> None:
    assert statements.insert_with_data(head, is_whole=False) is None


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        (b"INSERT INTO t SELECT 1", "t"),
        (b"-- why\ninsert into table d . `t` (a) SELECT 1", "t"),
        (b"INSERT INTO FUNCTION t SELECT 1", None),
        (b"INSERT INTO t . other SELECT 1", "other"),
        (b"WITH 1 AS x INSERT INTO t SELECT x", None),
        (b"SELECT 1", None),
    ],
)
def test_target_is_the_table_when_a_statement_begins_with_insert(
    sql: bytes, table: str | None
) -> None:
    assert statements.target_of_insert(sql) == table


@pytest.mark.parametrize(
    ("sql", "fmt"),
    [
        (b"SELECT 1 FORMAT JSON -- c", "JSON"),
        (b"SELECT 1 FORMAT/**/JSON ; ", "JSON"),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        (b"SELECT 1 -- FORMAT JSON", ""),
        (b"SELECT ' FORMAT JSON'", ""),
        (b"SELECT 1 AS FORMAT", ""),
    ],
)
def test_format_is_that_of_the_clause_when_comments_and_texts_name_others(
    sql: bytes, fmt: str
) -> None:
    assert statements.split_format(sql)[1] == fmt


def test_format_is_taken_off_when_it_ends_a_statement() -> None:
    assert statements.split_format(b"SELECT 1\n FORMAT Native") == (b"SELECT 1\n", "Native")
    assert statements.split_format(b"SELECT 1") == (b"SELECT 1", "")


_ID = b"extract(Settings['query_cache_tag'], '^user=[^/]*/query_id=(.*)$')"
_USER = b"extract(Settings['query_cache_tag'], '^user=([^/]*)/')"


def test_query_id_and_user_are_looked_for_in_the_tag_when_a_query_is_killed() -> None:
    kill = statements.rewritten(
        b"/* c */ KILL QUERY WHERE `query_id` = 'query_id' AND USER!='' SYNC"
    )

    assert parameters({"query_id": "x", "user": "a"}).tag == "user=a/query_id=x"
    assert kill == (
        b"/* c */ KILL QUERY WHERE " + _ID + b" = 'query_id' AND " + _USER + b"!='' SYNC"
    )
    assert statements.rewritten(b"SELECT query_id") == b"SELECT query_id"


@pytest.mark.parametrize("ending", [b"", b" SYNC", b" ASYNC;", b" TEST", b" TEST SYNC"])
def test_own_queries_alone_are_killed_when_a_user_may_no_more(ending: bytes) -> None:
    kill = statements.rewritten(b"KILL QUERY WHERE 1 OR 0" + ending, "it's")

    assert kill == b"KILL QUERY WHERE ( 1 OR 0) AND " + _USER + b" = 'it\\'s'" + ending


@pytest.mark.parametrize(
    ("asked", "taken"),
    [("1000", 1000), ("0", 2 << 30), ("99999999999", 2 << 30), ("-1", 2 << 30), ("1G", 2 << 30)],
)
def test_memory_is_bounded_when_a_client_asks_for_some(asked: str, taken: int) -> None:
    assert parameters({"max_memory_usage": asked}).max_memory_bytes == taken
    assert parameters({}).max_memory_bytes == 2 << 30


@pytest.mark.parametrize("name", ["dialect", "implicit_select", "profile", "query_cache_tag"])
def test_parameters_are_refused_when_a_setting_is_fixed(name: str) -> None:
    with pytest.raises(ServerError) as refused:
        parameters({name: "1"})

    assert refused.value.code == 452


@pytest.mark.parametrize("query_id", ["a\r\nX: y", "\0", "\x7f"])
def test_parameters_are_refused_when_a_query_id_would_break_a_header(query_id: str) -> None:
    with pytest.raises(ServerError) as refused:
        parameters({"query_id": query_id})

    assert refused.value.code == 36


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT file/**/('x')",
        b"SELECT `file`('x')",
        b"SELECT \"file\" ( 'x')",
        b"SELECT `fi\\x6ce`('x')",
        b"SELECT 1 /* /* */ ' */, file('x') /* ' */",
        b"SELECT $$'$$, file('x'), $$'$$",
        b"SELECT $a$'$a$, file('x'), $a$'$a$",
        b"SELECT $ '$, file('x'), $ '$",
        b"SELECT '",
        b"SELECT 1 /* /* */",
        "SELECT ‘'’, file('x'), ‘'’".encode(),
        "SELECT file\u00a0('x')".encode(),
        b"SELECT '\\'', file('x'), '\\''",
        b"SELECT 1 INTO/**/OUTFILE 'x'",
        b"SELECT 1 INTO -- \nOUTFILE 'x'",
        b"SELECT * FROM eval('SELECT 1')",
        b"SELECT * FROM s3Cluster('a', 'b')",
        b"SELECT * FROM `remote`('a', 'b', 'c')",
        b"CREATE TABLE t (a Int8) ENGINE = /* */ `Kafka`('a')",
        b"SELECT 1 SETTINGS max_threads = 1, query_cache_tag = 'x'",
        b"SET ROLE root",
        b"SET DEFAULT ROLE root TO default",
    ],
)
def test_statement_is_refused_when_it_hides_what_it_does(sql: bytes) -> None:
    with pytest.raises(ServerError) as refused:
        statements.check_allowed(sql)

    assert refused.value.code == 48


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT 'file(', \"file\" FROM t -- file('x')",
        b"SELECT profile('x'), file FROM `t` WHERE log_comment = '\\' $$ \0'",
        "SELECT 'Größe ‘file(’' AS `Größe`".encode(),
        b"SELECT $$file('x')$$, $a$ url('x') $b$ $a$",
        b"SELECT {$x$:String}, a$b FROM `it``s \\` file`",
        b"SELECT 1 /* file('x') /* file('x') */ file('x') */",
    ],
)
def test_statement_is_allowed_when_it_only_names_what_is_refused(sql: bytes) -> None:
    statements.check_allowed(sql)
