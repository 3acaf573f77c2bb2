"""The index of a record: what it says of the events, and that it is only believed of its value."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from libs.events.codec import encode_event, join_lines
from libs.events.models import AnyEvent, ChatAction, ChatMessage, SessionStarted
from libs.events.record_index import ENTRY_BYTES, entries_of, entry_of, identity_of, index_of

_AT = datetime(2026, 3, 25, 23, 59, 59, 999_999, tzinfo=UTC)
_START = SessionStarted("museum", True, "evt-1", _AT, _AT, "ses-1")
_MESSAGE = ChatMessage(
    "museum", False, "evt-2", _AT, _AT, "ses-1", conversation_id="con-1", role="user"
)
_VALUE = join_lines([encode_event(_START), encode_event(_MESSAGE)])
_INDEX = index_of(_VALUE, [entry_of(_START), entry_of(_MESSAGE)])


@dataclass
class Entry:
    """An entry taken apart."""

    identity: bytes
    conversation: bytes
    occurred_s: int


def taken_apart(event: AnyEvent) -> Entry:
    entry = entry_of(event)
    assert len(entry) == ENTRY_BYTES
    return Entry(entry[:16], entry[16:28], int.from_bytes(entry[28:], "little"))


def other(event: AnyEvent, **fields: Any) -> AnyEvent:
    return msgspec.structs.replace(event, **fields)


def test_entry_holds_the_identity_the_conversation_and_the_second() -> None:
    entry = taken_apart(_MESSAGE)
    assert entry.identity == identity_of(_MESSAGE)
    assert entry.conversation != bytes(12)
    assert entry.occurred_s == int(_AT.timestamp())


def test_entry_is_of_the_second_that_began_last() -> None:
    assert taken_apart(_START).occurred_s % 86_400 == 86_399


@pytest.mark.parametrize(
    "event",
    [_START, ChatAction("museum", True, "e", _AT, _AT, "s", conversation_id="c", action="a")],
)
def test_entry_of_what_is_no_message_has_no_conversation(event: AnyEvent) -> None:
    assert taken_apart(event).conversation == bytes(12)


@pytest.mark.parametrize(
    "fields",
    [{"project_id": "m"}, {"is_live": True}, {"conversation_id": "con-2"}, {"id": "evt-3"}],
)
def test_events_are_others_when_project_mode_conversation_or_id_differ(
    fields: dict[str, Any],
) -> None:
    assert identity_of(other(_MESSAGE, **fields)) != identity_of(_MESSAGE)


@pytest.mark.parametrize(
    "fields", [{"session_id": "ses-2"}, {"role": "assistant"}, {"device_id": "kiosk"}]
)
def test_event_is_the_same_when_something_else_differs(fields: dict[str, Any]) -> None:
    assert identity_of(other(_MESSAGE, **fields)) == identity_of(_MESSAGE)


def test_session_event_is_another_when_its_session_differs() -> None:
    assert identity_of(other(_START, session_id="ses-2")) != identity_of(_START)


def test_session_is_not_taken_for_the_conversation_of_its_name() -> None:
    talk = ChatAction("museum", True, "evt-1", _AT, _AT, "s", conversation_id="ses-1", action="a")
    assert identity_of(talk) != identity_of(_START)


def test_conversation_and_id_are_kept_apart() -> None:
    one = other(_MESSAGE, conversation_id="c\0d", id="e")
    two = other(_MESSAGE, conversation_id="c", id="e")
    assert identity_of(one) != identity_of(two)


def test_upper_bits_of_an_identity_are_those_of_project_and_mode() -> None:
    tags = {identity_of(other(_MESSAGE, id=f"e{n}", conversation_id=f"c{n}"))[12:] for n in (1, 2)}
    assert tags == {identity_of(_MESSAGE)[12:]}
    assert identity_of(other(_MESSAGE, is_live=True))[12:] not in tags
    assert identity_of(other(_MESSAGE, project_id="zoo"))[12:] not in tags


def test_entries_are_believed_of_their_value() -> None:
    entries = entries_of(_VALUE, _INDEX)
    assert entries == entry_of(_START) + entry_of(_MESSAGE)


@pytest.mark.parametrize(
    ("value", "index"),
    [
        (_VALUE.replace(b"evt-1", b"evt-3"), _INDEX),
        (_VALUE + b"\n", _INDEX),
        (_VALUE, _INDEX[:-1]),
        (_VALUE, _INDEX[:8]),
        (_VALUE, b""),
        (b"", _INDEX),
    ],
)
def test_entries_are_not_believed_of_another_value(value: bytes, index: bytes) -> None:
    assert entries_of(value, index) is None
