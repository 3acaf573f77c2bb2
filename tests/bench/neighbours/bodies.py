"""Requests made before the first is sent, with a mark where a part that is new each time stands."""

import json
import random
import string
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench.neighbours.target import Target

Event = dict[str, Any]

# Five letters: 11 million different ones, and they may stand in a language too.
MARK = "@@@@@"
_LETTERS = string.ascii_lowercase
_FIRST = random.SystemRandom().randrange(26**5)
_DAYS = 29


def mark(number: int) -> str:
    """The letters for a number; each run begins elsewhere."""
    letters = []
    rest = (_FIRST + number) % 26**5
    for _ in range(5):
        rest, place = divmod(rest, 26)
        letters.append(_LETTERS[place])
    return "".join(letters)


class Template:
    """A request for A's events, to be sent again and again under new marks."""

    def __init__(self, target: Target, key: str, events: Sequence[Event], **headers: str) -> None:
        what = events if len(events) > 1 else events[0]
        body = json.dumps(what, separators=(",", ":"), ensure_ascii=False).encode()
        head = head_of(target, key, len(body), **headers)
        self._pieces = (head + body).split(MARK.encode())
        self.events = len(events)

    def request(self, number: int) -> bytes:
        """With a mark that no other number has."""
        return mark(number).encode().join(self._pieces)


def head_of(target: Target, key: str, length: int, **headers: str) -> bytes:
    """The head of a request that brings events; `headers` by names with `_` for `-`."""
    lines = [
        f"POST {target.events_path} HTTP/1.1",
        "Host: ingest",
        f"Authorization: Bearer {key}",
        f"Content-Length: {length}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if "Content_Type" not in headers:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode()


def question(target: Target, key: str, parameters: str) -> bytes:
    """A request for A's analytics."""
    return (
        f"GET {target.analytics_path}?{parameters} HTTP/1.1\r\nHost: query\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()


def templates(target: Target, make: Callable[[int], Event], events: int) -> list[Template]:
    """One for each of A's keys, of so many events."""
    made = [make(at) for at in range(events)]
    return [Template(target, key, made) for key in target.keys]


def message(at: int, **fields: Any) -> Event:
    """A message of a conversation with ten others, both new each time."""
    talk = f"{MARK}-{at // 10}"
    return {
        "id": f"{MARK}-{at}",
        "type": "chat.message",
        "role": "user",
        "sessionId": talk,
        "conversationId": talk,
    } | fields


def long_id(text: str) -> str:
    """An id of as many characters as one may have."""
    return text.ljust(64, "x")


def backdated(at: int, events: int) -> str:
    """One of instants that are spread over all days which may be told."""
    moment = datetime.now(UTC) - timedelta(days=_DAYS) * ((at + 1) / events)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def letters(number: int) -> str:
    """Three letters for a number."""
    return "".join(_LETTERS[number // 26**place % 26] for place in range(3))
