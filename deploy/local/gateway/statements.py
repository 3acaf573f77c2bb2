"""What a statement is: an INSERT whose data follow, a KILL, one that is refused here. Pure.

The SQL is in the URL (`query`), at the head of the body, or in a multipart form; after an INSERT
with a FORMAT come data.
"""

import re
from dataclasses import dataclass

from deploy.local.gateway.errors import NOT_IMPLEMENTED, SYNTAX_ERROR, ServerError
from deploy.local.gateway.lexer import Token, bare, words

# The head of an INSERT whose data follow. Possessive: blanks cost no more than their number.
_S = r"(?:\s|--[^\n]*\n|\#[ !][^\n]*\n|/\*(?:(?!/\*|\*/).)*+\*/)"
_NAME = r"(?:[A-Za-z_][\w$]*+|`(?:[^`\\]|\\.|``)++`|\"(?:[^\"\\]|\\.|\"\")++\")"
_COLUMN = r"(?:\w++|`(?:[^`\\]|\\.|``)++`|\"(?:[^\"\\]|\\.|\"\")++\"|[,.*])"
_PAIR = rf"\w++{_S}*+={_S}*+(?:'(?:[^'\\]|\\.|'')*+'|[\w.+-]++){_S}*+,?+{_S}*+"
_INSERT_DATA = re.compile(
    rf"{_S}*+INSERT{_S}++INTO{_S}++(?:TABLE{_S}++)?+"
    rf"(?P<into>(?:{_NAME}{_S}*+\.{_S}*+)?{_NAME}){_S}*+"
    rf"(?P<columns>\((?:{_S}|{_COLUMN})*+\))?+{_S}*+"
    rf"(?P<settings>SETTINGS{_S}++(?:{_PAIR})++)?+"
    rf"FORMAT{_S}++(?P<format>\w++)[ \t]*+;?+[ \t]*+".encode(),
    re.IGNORECASE | re.DOTALL,
)
# The engine knows no users and no query ids: both are kept in a setting that does nothing here, the
# name of an entry in the query cache (parameters.py, `tag`).
_TAG = "Settings['query_cache_tag']"
_OF_RUNNING = {
    b"query_id": f"extract({_TAG}, '^user=[^/]*/query_id=(.*)$')".encode(),
    b"user": f"extract({_TAG}, '^user=([^/]*)/')".encode(),
}
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
        (rb"\bSETTINGS\b.*\bquery_cache_tag\s*=", "a setting of query_cache_tag"),
        (rb"\bSET\b.*\b(?:ROLE|query_cache_tag)\b", "this SET statement"),
        (rb"\b(?:eval|executable|executablePool|file|filesystem|python|url)\s*\(", "this function"),
        (rb"\b(?:bigquery|cosn|gcs|jdbc|mongodb|mysql|odbc|oss|postgresql|prometheusQuery(?:Range)?|"
         rb"redis|remote|remoteSecure|sqlite|ytsaurus)\s*\(", "this function"),
        (rb"\b(?:azureBlobStorage|cluster(?:AllReplicas)?|deltaLake|file|hdfs|hudi|iceberg|paimon|s3|"
         rb"url)(?:Azure|HDFS|Local|S3)?(?:Cluster)?\s*\(", "this function"),
    )
)  # fmt: skip

# The engine's own database takes any file for a table, and cannot be dropped.
FILES = "default"
# These name a table in a text, where its name is not seen.
_NAMES_IN_TEXTS = re.compile(
    rb"\b(?:loop|merge(?:Tree\w*)?|dictionary|dictGet\w*|joinGet\w*|hasColumnInTable|view\w*)\s*\(",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose data follow: how it is written, in which format.

    `settings` is its SETTINGS clause: it stands behind what says where the data are.
    """

    sql: str
    settings: str
    format: str


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
    return names[-1].meant.decode(errors="replace")


def split_format(sql: bytes) -> tuple[bytes, str]:
    """A statement without its FORMAT clause, and the format that this named, if any."""
    found = words(sql)
    while found and found[-1].text == b";":
        found.pop()
    for place in range(len(found) - 1, 0, -1):
        clause, name, after = found[place - 1], found[place], found[place + 1 : place + 2]
        if clause.is_word(b"FORMAT") and name.kind == "word" and _ends_statement(after):
            rest = sql[name.end : found[-1].end] if after else b""
            return sql[: clause.start].rstrip() + b"\n" + rest, name.text.decode()
    return sql, ""


def _ends_statement(after: list[Token]) -> bool:
    return not after or after[0].is_word(b"SETTINGS")


def is_kill(sql: bytes) -> bool:
    """Whether a statement is a KILL QUERY."""
    first = words(sql)[:2]
    return len(first) == 2 and first[0].is_word(b"KILL") and first[1].is_word(b"QUERY")


def is_unlimited(sql: bytes) -> bool:
    """Whether a statement runs however many others do: it looks at them, or ends them.

    The server's own check is as rough (`src/Interpreters/ProcessList.cpp`, isUnlimitedQuery).
    """
    found = words(sql)
    is_select = bool(found) and found[0].is_word(b"SELECT")
    return is_kill(sql) or (
        is_select
        and any(
            (a.meant, b.text, c.meant) == (b"system", b".", b"processes")
            for a, b, c in zip(found, found[1:], found[2:], strict=False)
        )
    )


def rewritten(sql: bytes, owner: str = "") -> bytes:
    """KILL QUERY by the ids and users that clients know; `owner`: of its statements alone."""
    if not is_kill(sql):
        return sql
    found = words(sql)
    for token in reversed(found):
        place = _OF_RUNNING.get(token.bare.lower()) if token.kind in {"word", "name"} else None
        if place is not None:
            sql = sql[: token.start] + place + sql[token.end :]
    return _of_owner(sql, owner) if owner else sql


def _of_owner(sql: bytes, owner: str) -> bytes:
    found = words(sql)
    where = next((token for token in found if token.is_word(b"WHERE")), None)
    if where is None:
        return sql
    while found[-1].text == b";" or found[-1].is_word(b"SYNC") or found[-1].is_word(b"ASYNC"):
        found.pop()
    is_test = found[-1].is_word(b"TEST")
    end = found[-2].end if is_test else found[-1].end
    own = f" AND {_OF_RUNNING[b'user'].decode()} = {quoted(owner)}".encode()
    return sql[: where.end] + b" (" + sql[where.end : end] + b")" + own + sql[end:]


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def check_allowed(sql: bytes) -> None:
    """Refuse what the embedded engine must not be asked. Raises ServerError 48."""
    looked_at = bare(sql)
    for pattern, what in _REFUSED:
        if pattern.search(looked_at):
            raise ServerError(NOT_IMPLEMENTED, f"{what} is not served here")


def check_plain_names(sql: bytes) -> None:
    """Refuse functions that take the name of a table as a text. Raises ServerError 48."""
    if _NAMES_IN_TEXTS.search(bare(sql)):
        raise ServerError(NOT_IMPLEMENTED, "Tables must be named, not told in a text")


def check_single(statement_count: int) -> None:
    """The HTTP interface takes one statement a request. Raises ServerError."""
    if statement_count > 1:
        raise ServerError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
