"""The digest of a record: what it says of the events, and that it is only believed of its value."""

from datetime import UTC, datetime

import pytest

from libs.events.codec import encode_event, join_lines
from libs.events.digest import MARK_BYTES, conversation_hash, digest_of, id_hash, mark_of, marks_of
from libs.events.models import ChatMessage, SessionStarted

_AT = datetime(2026, 3, 25, 23, 59, 59, 999_999, tzinfo=UTC)
_START = SessionStarted("museum", True, "evt-1", _AT, _AT, "ses-1")
_MESSAGE = ChatMessage(
    "museum", False, "evt-2", _AT, _AT, "ses-1", conversation_id="con-1", role="user"
)
_VALUE = join_lines([encode_event(_START), encode_event(_MESSAGE)])
_DIGEST = digest_of(_VALUE, [mark_of(_START), mark_of(_MESSAGE)])


def _numbers(mark: bytes) -> list[int]:
    fields = (mark[:8], mark[8:16], mark[16:24], mark[24:])
    return [int.from_bytes(field, "little") for field in fields]


def test_mark_of_a_message_holds_id_conversation_and_second() -> None:
    expected = [id_hash("museum", "evt-2"), *conversation_hash("museum", False, "con-1")]
    assert _numbers(mark_of(_MESSAGE)) == [*expected, int(_AT.timestamp())]


def test_mark_of_another_event_has_no_conversation() -> None:
    assert _numbers(mark_of(_START))[1:3] == [0, 0]


def test_mark_is_of_the_second_that_began_last() -> None:
    assert _numbers(mark_of(_START))[3] % 86_400 == 86_399


def test_marks_are_believed_of_their_value() -> None:
    marks = marks_of(_VALUE, _DIGEST)
    assert marks == mark_of(_START) + mark_of(_MESSAGE)
    assert len(marks) == 2 * MARK_BYTES


@pytest.mark.parametrize(
    ("value", "digest"),
    [
        (_VALUE.replace(b"evt-1", b"evt-3"), _DIGEST),
        (_VALUE + b"\n", _DIGEST),
        (_VALUE, _DIGEST[:-1]),
        (_VALUE, _DIGEST[:8]),
        (_VALUE, b""),
        (b"", _DIGEST),
    ],
)
def test_marks_are_not_believed_of_another_value(value: bytes, digest: bytes) -> None:
    assert marks_of(value, digest) is None
