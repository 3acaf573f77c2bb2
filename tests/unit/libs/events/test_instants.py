"""Instants keep their day, however many digits they have."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.events.codec import decode_line
from libs.events.instants import instant_of, with_plain_instants
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
    "line",
    [
        rb'{"id": "a", "name": "\"occurred_at\": \"2026-03-25T23:59:59.9999999Z\""}',
        b'{"occurred_at": "2026-03-25T23:59:59.999999Z"}',
        b'{"name": "2026-03-25T23:59:60Z", "version": "1.9999999999"}',
        b'{"occurred_at": "2026-03-25T23:60:00Z"}',
    ],
)
def test_line_stays_as_it_is_when_no_instant_has_too_many_digits(line: bytes) -> None:
    assert with_plain_instants(line) == line


@given(
    st.datetimes(timezones=st.timezones().filter(lambda zone: zone is not None)),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_instant_is_what_pythons_own_spelling_says(moment: datetime, precision: str) -> None:
    offset = moment.utcoffset() or timedelta()
    assume(offset.total_seconds() % 60 == 0)
    text = moment.isoformat(timespec=precision)

    assert instant_of(text) == datetime.fromisoformat(text)


@given(st.from_regex(r"\A[0-9]{1,30}\Z"), st.sampled_from(["Z", "z", "+00:00", "-00:00"]))
def test_instant_keeps_its_millisecond_when_it_has_any_fraction(fraction: str, zone: str) -> None:
    occurred_at = instant_of(f"2026-03-25T23:59:59.{fraction}{zone}")

    assert occurred_at is not None
    cut_us = occurred_at.microsecond // 1000 * 1000
    expected = datetime(2026, 3, 25, 23, 59, 59, int(fraction[:3].ljust(3, "0")) * 1000, tzinfo=UTC)
    assert occurred_at.replace(microsecond=cut_us) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "now",
            "2026-03-25",
            "2026-03-25T09:30:00",
            "2026-W12-3T09:30:00Z",
            "20260325T093000Z",
        ),
        *("2026-02-30T09:30:00Z", "2026-03-25T25:30:00Z", "2026-03-25T09:30:61Z", "9" * 100_000),
        *("2026-03-25T09:60:60Z", "2026-03-25T09:30:00,5Z", "２026-03-25T09:30:00Z"),
        *("2026-03-25T09:30:00.Z", "2026-03-25T09:30Z", "1774431000", "2026-03-25T09:30:00Z "),
    ],
)
def test_instant_is_none_when_the_text_is_no_time_with_a_zone(text: str) -> None:
    assert instant_of(text) is None


@given(st.text())
def test_any_text_is_an_instant_or_none(text: str) -> None:
    moment = instant_of(text)

    assert moment is None or moment.tzinfo is not None
