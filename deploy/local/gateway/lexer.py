"""SQL taken apart as ClickHouse's own lexer does: what is a comment, a text, a name. Pure.

Where the two could disagree (comments in comments, escapes in names, here documents, curly quotes)
a statement is refused: what hides from this lexer would hide from the checks.
"""

import re
from dataclasses import dataclass
from typing import Literal

from deploy.local.gateway.errors import NOT_IMPLEMENTED, ServerError

Kind = Literal["space", "text", "name", "word", "other"]

_TOKEN = re.compile(
    rb"""(?P<space>\s+ | --[^\n]* | \#[ !][^\n]* | /\*.*?\*/)
       | (?P<text>'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+')
       | (?P<name>`[^`]*` | "[^"]*")
       | (?P<word>\w[\w$]*)
       | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_CURLY_QUOTE = re.compile(rb"\xe2\x80[\x98\x99\x9c\x9d]")


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
    def bare(self) -> bytes:
        if self.kind == "name":
            return re.sub(rb"\W", b"_", self.text[1:-1])
        if self.kind == "text":
            return b"''"
        return b" " if self.kind == "space" or self.text > b"\x7f" else self.text

    def is_word(self, word: bytes) -> bool:
        """Whether this is a keyword, in any case."""
        return self.kind == "word" and self.text.upper() == word


def tokens(sql: bytes) -> list[Token]:
    """All pieces of a statement, comments as space. Raises ServerError 48 on what is ambiguous."""
    found: list[Token] = []
    for match in _TOKEN.finditer(sql):
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        token = Token(kind, match[0], match.start())
        _check_unambiguous(token, sql)
        found.append(token)
    return found


def words(sql: bytes) -> list[Token]:
    """The pieces of a statement that mean something."""
    return [token for token in tokens(sql) if token.kind != "space"]


def bare(sql: bytes) -> bytes:
    """A statement without its comments and texts, names without quotes: for looking at."""
    return b"".join(token.bare for token in tokens(sql))


def _check_unambiguous(token: Token, sql: bytes) -> None:
    is_ambiguous = (
        (token.kind == "space" and b"/*" in token.text[1:] and token.text.startswith(b"/*"))
        or (token.kind == "name" and b"\\" in token.text)
        or (token.kind == "other" and token.text in {b"$", b"\0"})
        or (token.kind == "other" and _CURLY_QUOTE.match(sql, token.start) is not None)
    )
    if is_ambiguous:
        raise ServerError(NOT_IMPLEMENTED, f"{token.text[:20]!r} is not served here")
