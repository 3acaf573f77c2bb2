"""What libraries and loops say again and again is written once in a while."""

import logging
from typing import Any

import pytest
import structlog

from libs.telemetry.logs import LessOften, OncePerInterval


def _record(text: str, *arguments: object, logger: str = "aiokafka") -> logging.LogRecord:
    return logging.LogRecord(logger, logging.ERROR, "file.py", 1, text, arguments, None)


def test_message_is_written_once_when_it_is_repeated_within_seconds() -> None:
    now = 0.0
    once = OncePerInterval(lambda: now)
    written = []
    for second in range(11):
        now = float(second)
        written.append(once.filter(_record("Unable connect to node %s", second)))

    assert [second for second, is_written in enumerate(written) if is_written] == [0, 5, 10]


def test_message_is_written_when_it_is_another_or_from_another_library() -> None:
    once = OncePerInterval(lambda: 0.0)

    assert once.filter(_record("a"))
    assert once.filter(_record("b"))
    assert once.filter(_record("a", logger="faust"))
    assert not once.filter(_record("a"))


def test_filter_forgets_when_texts_have_no_end() -> None:
    once = OncePerInterval(lambda: 0.0)
    for number in range(5_000):
        once.filter(_record(f"text {number}"))

    assert len(once._said_at) <= 1_000


class Loop:
    """Says something each time, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.often = LessOften(lambda: self.now)

    def say(self, event: str, at_s: float, **fields: Any) -> Any:
        """What is written; None for nothing."""
        self.now = at_s
        try:
            return self.often(None, "warning", {"event": event, **fields})
        except structlog.DropEvent:
            return None


def _written_at(loop: Loop, event: str, seconds: range) -> dict[int, int]:
    """When a line was written, and how many were not before it."""
    said = {second: loop.say(event, second, error="refused") for second in seconds}
    return {second: line.get("not_written", 0) for second, line in said.items() if line}


def test_loop_is_written_less_and_less_often_when_it_says_the_same() -> None:
    written = _written_at(Loop(), "kafka.waiting", range(0, 1000, 5))

    assert written == {0: 0, 5: 0, 15: 1, 35: 3, 75: 7, 155: 15, 315: 31, 615: 59, 915: 59}


def test_loop_is_written_at_once_when_it_says_something_else() -> None:
    loop = Loop()

    assert loop.say("kafka.waiting", 0, error="refused")
    assert not loop.say("kafka.waiting", 2, error="refused")
    assert loop.say("kafka.waiting", 3, error="no such topic")
    assert loop.say("clickhouse.waiting", 3, error="refused")


def test_loop_is_written_at_once_when_another_outage_begins() -> None:
    loop = Loop()
    _written_at(loop, "clickhouse.waiting", range(0, 200, 5))

    again = loop.say("clickhouse.waiting", 300, error="refused")

    assert again == {"event": "clickhouse.waiting", "error": "refused"}


@pytest.mark.parametrize("event", ["topic.mismatch", "keys.refresh_failed", "recovery.waiting"])
def test_event_is_that_of_a_loop_when_it_repeats_a_state(event: str) -> None:
    assert list(_written_at(Loop(), event, range(4))) == [0]


def test_every_line_is_written_when_each_tells_of_something_else() -> None:
    assert len(_written_at(Loop(), "request.bug", range(10))) == 10


def test_repeated_lines_are_forgotten_when_texts_have_no_end() -> None:
    loop = Loop()
    for number in range(5_000):
        loop.say("kafka.waiting", 0, number=number)

    assert len(loop.often._lines) <= 1_000
