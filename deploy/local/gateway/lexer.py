"""SQL taken apart as ClickHouse's own lexer does (`src/Parsers/Lexer.cpp`). Pure.

What is a comment, a text, a name: comments stand in comments, names have escapes, a text may be a
here document. What would hide from this lexer would hide from the checks: curly quotes, and what
has no end, are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from deploy.local.gateway.errors import NOT_IMPLEMENTED, ServerError

Kind = Literal["space", "text", "name", "word", "other"]

_TOKEN = re.compile(
    rb"""(?P<space>\s+ | --[^\n]* | \#[ !][^\n]* | /\*)
       | (?P<text>'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
       | (?P<name>`[^`\\]*+(?:(?:\\.|``)[^`\\]*+)*+` | "[^"\\]*+(?:(?:\\.|"")[^"\\]*+)*+")
       | (?P<word>[\w$]+)
       | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(rb"/\*|\*/")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)|``|\"\"", re.DOTALL)
_CURLY_QUOTE = re.compile(rb"\xe2\x80[\x98\x99\x9c\x9d]")
_ODD_TAG = re.compile(rb"\$\w*[^\w$][^$]*\$")
# What would begin something, and has no end.
_OPEN = frozenset(b"'`\"\0")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a statement and where it stands. A name is a word in quotes: `bare` is without."""

    kind: Kind
    text: bytes
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def meant(self) -> bytes:
        """A name without its quotes and escapes; all else as it stands."""
        return _ESCAPE.sub(_unescaped, self.text[1:-1]) if self.kind == "name" else self.text

    @property
    def bare(self) -> bytes:
        if self.kind == "name":
            return re.sub(rb"\W", b"_", self.meant)
        if self.kind == "text":
            return b"''"
        return b" " if self.kind == "space" or self.text > b"\x7f" else self.text

    def is_word(self, word: bytes) -> bool:
        """Whether this is a keyword, in any case."""
        return self.kind == "word" and self.text.upper() == word


@lru_cache(maxsize=4)  # a statement is looked at several times
def tokens(sql: bytes) -> tuple[Token, ...]:
    """All pieces of a statement, comments as space. Raises ServerError 48 on what is ambiguous."""
    return tuple(_tokens(sql))


def _tokens(sql: bytes) -> Iterator[Token]:
    place = 0
    while (match := _TOKEN.match(sql, place)) is not None:
        kind: Kind = next(k for k in ("space", "text", "name", "word", "other") if match[k])
        end = _end_of_comment(sql, place) if match[0] == b"/*" else match.end()
        token = Token(kind, sql[place:end], place)
        if _is_ambiguous(token, sql):
            raise ServerError(NOT_IMPLEMENTED, f"{sql[place : place + 20]!r} is not served here")
        yield token
        place = end


def _is_ambiguous(token: Token, sql: bytes) -> bool:
    if token.kind == "other":
        return token.text[0] in _OPEN or _CURLY_QUOTE.match(sql, token.start) is not None
    # Whether these dollars begin a here document depends on what may stand between them.
    tag = _ODD_TAG.match(sql, token.start) if token.text.startswith(b"$") else None
    return tag is not None and sql.find(tag[0], tag.end()) >= 0


def _end_of_comment(sql: bytes, start: int) -> int:
    depth = 0
    for mark in _COMMENT_MARK.finditer(sql, start):
        depth += 1 if mark[0] == b"/*" else -1
        if depth == 0:
            return mark.end()
    raise ServerError(NOT_IMPLEMENTED, "A comment without an end is not served here")


def _unescaped(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    if escaped is None:
        return match[0][:1]
    return bytes.fromhex(escaped[1:].decode()) if len(escaped) == 3 else escaped


def words(sql: bytes) -> list[Token]:
    """The pieces of a statement that mean something."""
    return [token for token in tokens(sql) if token.kind != "space"]


def bare(sql: bytes) -> bytes:
    """A statement without its comments and texts, names without quotes: for looking at."""
    return b"".join(token.bare for token in tokens(sql))
