"""Where an event goes: fixed values, for other producers follow the same formula."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.models import ChatMessage, SessionEnded
from libs.events.partitions import partition_key, partition_of

_AT = datetime(2026, 3, 25, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "partition"),
    [
        ("123456789", 2),  # the check value of CRC-32: 0xCBF43926
        ("museum:con-1", 5),
        ("museum:con-2", 11),
        ("museum:שלום", 7),
        ("", 0),
    ],
)
def test_partition_never_changes(key: str, partition: int) -> None:
    assert partition_of(key, 12) == partition


def test_event_of_a_conversation_goes_by_its_conversation() -> None:
    event = ChatMessage(
        "museum", True, "evt-1", _AT, _AT, "ses-1", conversation_id="con-1", role="user"
    )

    assert partition_key(event) == "museum:con-1"


def test_event_of_a_session_goes_by_its_session() -> None:
    assert partition_key(SessionEnded("museum", True, "e", _AT, _AT, "ses-1", duration_ms=1)) == (
        "museum:ses-1"
    )


@given(st.text(), st.integers(1, 1_000))
def test_partition_exists_for_every_key(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
