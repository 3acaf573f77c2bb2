"""What a request asks for, taken apart. Pure.

The SQL is in the URL (`query`), at the head of the body, or in a multipart form; after an INSERT
with a FORMAT come data. Other URL parameters are settings, but for a few that speak to the server.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.gateway.errors import (
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    ServerError,
)

_TO_THE_SERVER = frozenset(
    {
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "database",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "password",
        "query",
        "query_id",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "user",
        "wait_end_of_query",
    }
)
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s", re.IGNORECASE)
_INSERT_DATA = re.compile(
    rb"\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?P<table>[`\w.\"]+)(?P<rest>[^;]*?)"
    rb"\s+FORMAT\s+(?P<format>\w+)[ \t]*(?:\r?\n|;|\Z)",
    re.IGNORECASE,
)
_INSERTED = re.compile(
    rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*INSERT\s+INTO\s+(?:TABLE\s+)?(?P<table>[`\w.\"]+)",
    re.IGNORECASE | re.DOTALL,
)
_FORMAT = re.compile(rb"\sFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_KILL = re.compile(rb"\s*KILL\s", re.IGNORECASE)
_QUERY_ID = re.compile(rb"\bquery_id\b", re.IGNORECASE)

# Each of these was seen to break the data directory, to do nothing, or to open the machine's files.
_REFUSED = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), what)
    for pattern, what in (
        (rb"\bENGINE\s*=?\s*(?:Kafka|RabbitMQ|NATS)\b", "this table engine"),
        (rb"\bINTO\s+OUTFILE\b", "INTO OUTFILE"),
        (rb"\bFROM\s+INFILE\b", "FROM INFILE"),
        (rb"\bSYSTEM\s+(?:SHUTDOWN|KILL|START\s+LISTEN|STOP\s+LISTEN)\b", "this SYSTEM statement"),
        (rb"\bINSERT\b.*\binput\s*\(", "INSERT … SELECT … FROM input()"),
        (rb"\b(?:file|url|executable|python)\s*\(", "this table function"),
    )
)
# String literals may hold any of these words; they are looked for outside of them.
_LITERAL = re.compile(rb"'(?:[^'\\]|\\.|'')*'", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What stands in the URL or the form beside the SQL."""

    sql: bytes
    database: str
    query_id: str
    user: str
    password: str
    settings: Mapping[str, str]
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose data follow: into which table, how written, in which format."""

    table: str
    sql: str
    format: str


def parameters(fields: Mapping[str, str]) -> Parameters:
    """The parameters of a request. Raises ServerError when one cannot be served."""
    if fields.get("compress") == "1" or fields.get("decompress") == "1":
        raise ServerError(NOT_IMPLEMENTED, "compress=1 is not served; use Content-Encoding")
    settings = {
        name: value
        for name, value in fields.items()
        if name not in _TO_THE_SERVER and not name.startswith("param_")
    }
    for name in settings:
        if not _SETTING.match(name):
            raise ServerError(115, "Unknown setting")
    return Parameters(
        sql=fields.get("query", "").encode(),
        database=fields.get("database", ""),
        query_id=fields.get("query_id", ""),
        user=fields.get("user", ""),
        password=fields.get("password", ""),
        settings=settings,
        values={name[6:]: text for name, text in fields.items() if name.startswith("param_")},
    )


def is_insert(sql: bytes) -> bool:
    """Whether a statement is an INSERT, with data or without."""
    return _INSERT.match(sql) is not None


def insert_with_data(head: bytes) -> tuple[Insert, bytes] | None:
    """The INSERT at the head of these bytes and the data behind it; None where no data follow."""
    match = _INSERT_DATA.match(head)
    if match is None or re.search(
        rb"\b(?:SELECT|VALUES)\b", _LITERAL.sub(b"", match["rest"]), re.IGNORECASE
    ):
        return None
    check_allowed(match[0])
    table = match["table"].decode()
    sql = f"INSERT INTO {table}{match['rest'].decode()}"
    return Insert(_name_of(table), sql, match["format"].decode()), head[match.end() :]


def inserted_table(sql: bytes) -> str:
    """The table that a statement inserts into, as INSERT … SELECT does; empty for all others."""
    match = _INSERTED.match(sql)
    return "" if match is None else _name_of(match["table"].decode())


def _name_of(table: str) -> str:
    return table.replace("`", "").replace('"', "").rpartition(".")[2]


def split_format(sql: bytes) -> tuple[bytes, str]:
    """A statement without its FORMAT clause, and the format of its answer."""
    match = _FORMAT.search(sql)
    if match is None:
        return sql, "TabSeparated"
    return sql[: match.start()], match[1].decode()


def rewritten(sql: bytes) -> bytes:
    """KILL QUERY by the id that a client gave: the engine keeps it as the query's log comment."""
    return _QUERY_ID.sub(b"Settings['log_comment']", sql) if _KILL.match(sql) else sql


def check_allowed(sql: bytes) -> None:
    """Refuse what the embedded engine must not be asked. Raises ServerError 48."""
    bare = _LITERAL.sub(b"''", sql)
    for pattern, what in _REFUSED:
        if pattern.search(bare):
            raise ServerError(NOT_IMPLEMENTED, f"{what} is not served here")


def check_single(statement_count: int) -> None:
    """The HTTP interface takes one statement a request. Raises ServerError."""
    if statement_count > 1:
        raise ServerError(BAD_ARGUMENTS, "Multi-statements are not allowed")
