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
    SETTING_CONSTRAINT_VIOLATION,
    UNKNOWN_SETTING,
    ServerError,
)
from deploy.local.gateway.lexer import Token, bare, words

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
# Set here for each statement: what it is parsed as, and the bounds of its answer.
_FIXED = frozenset({"dialect", "implicit_select", "profile"})
# What any statement may take and find; a client may ask for less. Repeated values are small in a
# result and large in an answer: that has a bound beside memory.
_MAX_MEMORY_BYTES = 2 << 30
_MAX_RESULT_BYTES = 1 << 29
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# The head of an INSERT whose data follow. Possessive: blanks cost no more than their number.
_S = r"(?:\s|--[^\n]*\n|\#[ !][^\n]*\n|/\*(?:(?!/\*|\*/).)*+\*/)"
_NAME = r"(?:[A-Za-z_]\w*+|`[^`\\]++`|\"[^\"\\]++\")"
_COLUMN = r"(?:\w++|`(?:[^`\\]|\\.|``)++`|\"(?:[^\"\\]|\\.|\"\")++\"|[,.*])"
_PAIR = rf"\w++{_S}*+={_S}*+(?:'(?:[^'\\]|\\.|'')*+'|[\w.+-]++){_S}*+,?+{_S}*+"
_INSERT_DATA = re.compile(
    rf"{_S}*+INSERT{_S}++INTO{_S}++(?:TABLE{_S}++)?+"
    rf"(?P<into>(?:{_NAME}{_S}*+\.{_S}*+)?(?P<table>{_NAME})){_S}*+"
    rf"(?P<columns>\((?:{_S}|{_COLUMN})*+\))?+{_S}*+"
    rf"(?P<settings>SETTINGS{_S}++(?:{_PAIR})++)?+"
    rf"FORMAT{_S}++(?P<format>\w++)[ \t]*+;?+[ \t]*+".encode(),
    re.IGNORECASE | re.DOTALL,
)
# The engine knows no query_id: it is kept in the log comment, with this before it.
_ID = "query_id="
_ID_OF_RUNNING = f"extract(Settings['log_comment'], '^{_ID}(.*)')".encode()
_END_OF_HEAD = re.compile(rb"\r?\n|(?<=[ \t;])(?=[^\s;])")

# Each of these was seen to break the data directory, to do nothing, or opens this machine's files
# and connections to whoever may ask.
_REFUSED = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), what)
    for pattern, what in (
        (rb"\bENGINE\s*=?\s*(?:Kafka|RabbitMQ|NATS)\b", "this table engine"),
        (rb"\bINTO\s+OUTFILE\b", "INTO OUTFILE"),
        (rb"\bFROM\s+INFILE\b", "FROM INFILE"),
        (rb"\bSYSTEM\s+(?:SHUTDOWN|KILL|START\s+LISTEN|STOP\s+LISTEN)\b", "this SYSTEM statement"),
        (rb"\bINSERT\b.*\binput\s*\(", "INSERT … SELECT … FROM input()"),
        (rb"\bSETTINGS\b.*\blog_comment\s*=", "a setting of log_comment"),
        (rb"\b(?:eval|executable|executablePool|file|filesystem|python|url)\s*\(", "this function"),
        (rb"\b(?:bigquery|cosn|gcs|jdbc|mongodb|mysql|odbc|oss|postgresql|prometheusQuery(?:Range)?|"
         rb"redis|remote|remoteSecure|sqlite|ytsaurus)\s*\(", "this function"),
        (rb"\b(?:azureBlobStorage|cluster(?:AllReplicas)?|deltaLake|file|hdfs|hudi|iceberg|paimon|s3|"
         rb"url)(?:Azure|HDFS|Local|S3)?(?:Cluster)?\s*\(", "this function"),
    )
)  # fmt: skip

# The engine's own database takes any file for a table, and cannot be dropped.
FILES = "default"
_NAMES_FILES = re.compile(rb"\bdefault\s*\.|:\s*Identifier\b|\bloop\s*\(", re.IGNORECASE)
# These name a table in a text, where its name is not seen.
_NAMES_IN_TEXTS = re.compile(
    rb"\b(?:merge(?:Tree\w*)?|dictionary|dictGet\w*|joinGet\w*|hasColumnInTable|view\w*)\s*\(",
    re.IGNORECASE,
)

_ASKS_FOR_SETTINGS = re.compile(
    rb"\s*SELECT\b[\w\s,]*\bFROM\s+system\.settings\s*(?:LIMIT\s+\d+\s*)?", re.IGNORECASE
)


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

    @property
    def log_comment(self) -> str:
        """What the engine knows the statement by: the client's own comment, or its id."""
        return self.settings.get("log_comment") or f"{_ID}{self.query_id}"

    @property
    def max_memory_bytes(self) -> int:
        """What the statement may take: what the client says, and never more than the bound."""
        return self._least("max_memory_usage", _MAX_MEMORY_BYTES)

    @property
    def max_result_bytes(self) -> int:
        """What the statement may find, likewise."""
        return self._least("max_result_bytes", _MAX_RESULT_BYTES)

    def _least(self, name: str, most: int) -> int:
        text = self.settings.get(name, "0")
        asked = int(text) if text.isascii() and text.isdecimal() else 0  # 0 has no limit
        return min(asked or most, most)


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose data follow: into which table, how written, in which format.

    `settings` is its SETTINGS clause: it stands behind what says where the data are.
    """

    table: str
    sql: str
    settings: str
    format: str


def parameters(fields: Mapping[str, str]) -> Parameters:
    """The parameters of a request. Raises ServerError when one cannot be served."""
    if fields.get("compress") == "1" or fields.get("decompress") == "1":
        raise ServerError(NOT_IMPLEMENTED, "compress=1 is not served; use Content-Encoding")
    if _CONTROL.search(fields.get("query_id", "")):
        raise ServerError(BAD_ARGUMENTS, "A query_id must not hold control characters")
    settings = {
        name: value
        for name, value in fields.items()
        if name not in _TO_THE_SERVER and not name.startswith("param_")
    }
    for name in settings:
        _check_setting(name)
    return Parameters(
        sql=fields.get("query", "").encode(),
        database=fields.get("database", ""),
        query_id=fields.get("query_id", ""),
        user=fields.get("user", ""),
        password=fields.get("password", ""),
        settings=settings,
        values={name[6:]: text for name, text in fields.items() if name.startswith("param_")},
    )


def _check_setting(name: str) -> None:
    if not _SETTING.match(name):
        raise ServerError(UNKNOWN_SETTING, "Unknown setting")
    if name in _FIXED:
        raise ServerError(SETTING_CONSTRAINT_VIOLATION, f"Setting {name} should not be changed")


def insert_with_data(head: bytes, *, is_whole: bool = True) -> tuple[Insert, bytes] | None:
    """The INSERT at the head of these bytes and the data behind it; None where no data follow.

    Without `is_whole` more bytes may come: a head that could go on is none yet.
    """
    match = _INSERT_DATA.match(head)
    if match is None:
        return None
    end = _END_OF_HEAD.match(head, match.end())
    if end is None and (match.end() < len(head) or not is_whole):
        return None
    insert = Insert(
        table=match["table"].decode().strip('`"'),
        sql=f"INSERT INTO {match['into'].decode()} {(match['columns'] or b'').decode()}",
        settings=(match["settings"] or b"").decode(),
        format=match["format"].decode(),
    )
    return insert, head[end.end() :] if end else b""


def target_of_insert(sql: bytes) -> str | None:
    """The table of a statement that begins with INSERT INTO; None for every other."""
    found = words(sql)
    if len(found) < 3 or not (found[0].is_word(b"INSERT") and found[1].is_word(b"INTO")):
        return None
    rest = found[3:] if found[2].is_word(b"TABLE") else found[2:]
    names = rest[::2][:2] if len(rest) > 2 and rest[1].text == b"." else rest[:1]
    if not names or names[-1].kind not in {"word", "name"} or rest[0].is_word(b"FUNCTION"):
        return None
    return names[-1].text.decode().strip('`"')


def split_format(sql: bytes) -> tuple[bytes, str]:
    """A statement without its FORMAT clause, and the format of its answer."""
    found = words(sql)
    while found and found[-1].text == b";":
        found.pop()
    for place in range(len(found) - 1, 0, -1):
        clause, name, after = found[place - 1], found[place], found[place + 1 : place + 2]
        if clause.is_word(b"FORMAT") and name.kind == "word" and _ends_statement(after):
            rest = sql[name.end : found[-1].end] if after else b""
            return sql[: clause.start].rstrip() + b"\n" + rest, name.text.decode()
    return sql, "TabSeparated"


def _ends_statement(after: list[Token]) -> bool:
    return not after or after[0].is_word(b"SETTINGS")


def is_kill(sql: bytes) -> bool:
    """Whether a statement is a KILL QUERY."""
    first = words(sql)[:2]
    return len(first) == 2 and first[0].is_word(b"KILL") and first[1].is_word(b"QUERY")


def asks_for_settings(sql: bytes) -> bool:
    """Whether a statement asks which settings may be sent, and does nothing else."""
    return _ASKS_FOR_SETTINGS.fullmatch(split_format(sql)[0]) is not None


def rewritten(sql: bytes) -> bytes:
    """KILL QUERY by the id that a client gave: the engine has it in the query's log comment."""
    if not is_kill(sql):
        return sql
    for token in reversed(words(sql)):
        if token.kind in {"word", "name"} and token.bare.lower() == b"query_id":
            sql = sql[: token.start] + _ID_OF_RUNNING + sql[token.end :]
    return sql


def check_allowed(sql: bytes) -> None:
    """Refuse what the embedded engine must not be asked. Raises ServerError 48."""
    looked_at = bare(sql)
    for pattern, what in _REFUSED:
        if pattern.search(looked_at):
            raise ServerError(NOT_IMPLEMENTED, f"{what} is not served here")


def check_no_files(sql: bytes) -> None:
    """Refuse what could name a table of the database whose tables are files. Raises 48."""
    if _NAMES_FILES.search(bare(sql)):
        raise ServerError(NOT_IMPLEMENTED, f"The database `{FILES}` is not served here")


def check_plain_names(sql: bytes) -> None:
    """Refuse functions that take the name of a table as a text. Raises ServerError 48."""
    if _NAMES_IN_TEXTS.search(bare(sql)):
        raise ServerError(NOT_IMPLEMENTED, "Tables must be named, not told in a text")


def names(sql: bytes) -> frozenset[str]:
    """All words and quoted names of a statement, whatever they name."""
    found = (token for token in words(sql) if token.kind in {"word", "name"})
    return frozenset(token.text.decode(errors="replace").strip('`"') for token in found)


def check_single(statement_count: int) -> None:
    """The HTTP interface takes one statement a request. Raises ServerError."""
    if statement_count > 1:
        raise ServerError(BAD_ARGUMENTS, "Multi-statements are not allowed")
