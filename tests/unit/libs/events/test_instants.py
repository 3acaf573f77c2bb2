"""Instants keep their day, however many digits they have."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.codec import decode_line
from libs.events.instants import plain_instants
from libs.events.models import AnyEvent

_LINE = (
    '{"type":"session.started","project_id":"museum","is_live":true,"id":"evt-1",'
    '"occurred_at":"%s","accepted_at":"2026-03-25T09:30:00Z","session_id":"ses-1"}'
)


def _occurred_at(text: str) -> datetime:
    event = decode_line(0, (_LINE % text).encode())
    assert isinstance(event, AnyEvent)
    return event.occurred_at


@given(st.from_regex(r"\A[0-9]{1,30}\Z"))
def test_line_keeps_its_millisecond_when_it_has_any_fraction(fraction: str) -> None:
    cut = int(fraction[:3].ljust(3, "0"))

    occurred_at = _occurred_at(f"2026-03-25T23:59:59.{fraction}Z")

    assert occurred_at.replace(microsecond=0) == datetime(2026, 3, 25, 23, 59, 59, tzinfo=UTC)
    assert occurred_at.microsecond // 1000 == cut


@pytest.mark.parametrize("second", ["60", "60.0", "60.25", "60.9999999"])
def test_second_60_of_a_line_is_the_last_instant_of_its_minute(second: str) -> None:
    expected = datetime(2026, 3, 25, 23, 59, 59, 999_000, tzinfo=UTC)

    assert _occurred_at(f"2026-03-25T23:59:{second}Z") == expected


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"id": "a", "name": "\"occurredAt\": \"2026-03-25T23:59:59.9999999Z\""}',
        b'{"occurredAt": "2026-03-25T23:59:59.999999Z"}',
        b'{"name": "2026-03-25T23:59:60Z", "version": "1.9999999999"}',
        b'{"occurredAt": "2026-03-25T23:60:00Z"}',
    ],
)
def test_event_stays_as_it_is_when_no_instant_has_too_many_digits(raw: bytes) -> None:
    assert plain_instants(raw) == raw
