"""Lines and records: any bytes become events or reasons, line by line."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.codec import InvalidLine, decode_line, decode_record, encode_event, join_lines
from libs.events.models import AnyEvent, ChatMessage, SessionStarted
from libs.events.reasons import DeadLetterReason

_AT = datetime(2026, 3, 25, 9, 30, tzinfo=UTC)
_START = SessionStarted("museum", True, "evt-1", _AT, _AT, "ses-1")
_MESSAGE = ChatMessage(
    "museum", True, "evt-2", _AT, _AT, "ses-1", conversation_id="con-1", role="user"
)


def test_line_leaves_out_what_is_at_its_default() -> None:
    assert encode_event(_START) == (
        b'{"type":"session.started","project_id":"museum","is_live":true,"id":"evt-1",'
        b'"occurred_at":"2026-03-25T09:30:00Z","accepted_at":"2026-03-25T09:30:00Z",'
        b'"session_id":"ses-1"}'
    )


def test_record_gives_its_events_with_their_line_numbers() -> None:
    value = join_lines([encode_event(_START), encode_event(_MESSAGE)])

    assert list(decode_record(value)) == [(0, _START), (1, _MESSAGE)]


def test_record_gives_the_good_lines_when_bad_and_blank_ones_are_between() -> None:
    value = b"\n".join([encode_event(_START), b"", b"{", b" ", b"[]", encode_event(_MESSAGE), b""])

    lines = list(decode_record(value))

    assert [number for number, _ in lines] == [0, 2, 4, 5]
    assert lines[0][1] == _START
    assert lines[3][1] == _MESSAGE
    reasons = [line.reason for _, line in lines[1:3] if isinstance(line, InvalidLine)]
    assert reasons == [DeadLetterReason.NOT_JSON, DeadLetterReason.INVALID_EVENT]


@pytest.mark.parametrize(
    ("change", "by"),
    [
        (b'"id":"evt-1"', rb'"id":"evt-1\n"'),
        (b'"id":"evt-1"', b'"id":""'),
        (b'"museum"', b'"mu seum"'),
        (b'"2026-03-25T09:30:00Z","acc', b'"2026-03-25T09:30:00","acc'),
        (b'"is_live":true', b'"is_live":1'),
        (b'"session.started"', b'"session.paused"'),
        (b'"session_id":"ses-1"', b'"country":"de","session_id":"ses-1"'),
        (b'"session_id":"ses-1"', b'"language":"de-AT","session_id":"ses-1"'),
    ],
)
def test_line_is_invalid_when_a_rule_is_broken(change: bytes, by: bytes) -> None:
    line = encode_event(_START).replace(change, by, 1)

    decoded = decode_line(7, line)

    assert isinstance(decoded, InvalidLine)
    assert (decoded.number, decoded.line) == (7, line)
    assert decoded.reason is DeadLetterReason.INVALID_EVENT
    assert decoded.detail


@given(st.binary())
def test_bytes_become_events_or_reasons_whatever_they_are(value: bytes) -> None:
    for number, line in decode_record(value):
        assert number >= 0
        assert isinstance(line, AnyEvent | InvalidLine)


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"type":"session.started","x":' + b"[" * 100_000]
)
def test_line_is_invalid_when_it_is_nested_deep(line: bytes) -> None:
    assert isinstance(decode_line(0, line), InvalidLine)
