"""What libraries say again and again is written once in a while."""

import logging

from libs.telemetry.logs import OncePerInterval


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
