"""What is filled in for fields that a producer left out."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.codec import decode_line, encode_event
from libs.events.models import AnyEvent
from libs.events.reasons import RejectCode
from services.ingest.decoding import EventDecoder
from services.ingest.enrich import Submission, enrich
from services.ingest.verdicts import RefusedError
from tests.golden_events import ACCEPTED_AT
from tests.unit.services.ingest.submissions import submission

_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148"


def _enrich(to: Submission, **fields: Any) -> AnyEvent:
    sent = {"type": "session.started", "sessionId": "ses-1"} | fields
    return _enriched(msgspec.json.encode(sent), to)


def _enriched(raw: bytes, to: Submission) -> AnyEvent:
    return enrich(raw, EventDecoder().decode(raw, []), to, [])


def test_country_and_device_are_the_callers_when_the_event_has_no_context() -> None:
    event = _enrich(submission(address="8.8.8.8", user_agent=_IPHONE))

    assert (event.country, event.device_type) == ("US", "mobile")


def test_country_is_that_of_the_context_when_the_caller_is_elsewhere() -> None:
    event = _enrich(submission(address="8.8.8.8"), context={"ip": "10.0.0.1"})

    assert event.country == "unknown"


def test_device_is_the_callers_when_the_context_has_an_address_only() -> None:
    event = _enrich(submission(user_agent=_IPHONE), context={"ip": "8.8.8.8"})

    assert (event.country, event.device_type) == ("US", "mobile")


def test_id_is_a_uuid7_when_there_is_neither_id_nor_idempotency_key() -> None:
    ids = {_enrich(submission()).id for _ in range(3)}

    assert len(ids) == 3
    assert {UUID(id_).version for id_ in ids} == {7}


def test_id_is_the_producers_when_there_is_an_idempotency_key_too() -> None:
    assert _enrich(submission(idempotency_key="abc"), id="evt-1").id == "evt-1"


def test_event_is_not_live_when_a_live_key_says_so() -> None:
    assert _enrich(submission(), live=False).is_live is False


@pytest.mark.parametrize(
    ("occurred_at", "code"),
    [
        ("0001-01-01T00:00:00+23:59", RejectCode.OCCURRED_AT_TOO_OLD),
        ("9999-12-31T23:59:59-23:59", RejectCode.OCCURRED_AT_IN_FUTURE),
    ],
)
def test_time_is_refused_when_it_is_at_the_end_of_the_calendar(
    occurred_at: str, code: RejectCode
) -> None:
    with pytest.raises(RefusedError) as caught:
        _enrich(submission(), occurredAt=occurred_at)

    assert caught.value.refusal.code is code


@given(st.timedeltas(timedelta(0), timedelta(days=29)), st.integers(-1439, 1439))
def test_time_is_the_same_instant_in_utc_whatever_the_zone(age: timedelta, offset: int) -> None:
    zoned = (ACCEPTED_AT - age).astimezone(timezone(timedelta(minutes=offset)))

    event = _enrich(submission(), occurredAt=zoned.isoformat())

    assert event.occurred_at == zoned - timedelta(microseconds=zoned.microsecond % 1000)
    assert event.occurred_at.utcoffset() == timedelta(0)


@given(st.from_regex(r"\A[0-9]{1,30}\Z"), st.sampled_from(["Z", "+00:00", "z", "-00:00"]))
def test_time_keeps_its_millisecond_when_it_has_any_fraction(fraction: str, zone: str) -> None:
    event = _enrich(submission(), occurredAt=f"2026-03-24T23:59:59.{fraction}{zone}")

    cut_ms = int(fraction[:3].ljust(3, "0"))
    assert event.occurred_at == datetime(2026, 3, 24, 23, 59, 59, cut_ms * 1000, tzinfo=UTC)


@pytest.mark.parametrize("second", ["60", "60.5", "60.9999999"])
def test_second_60_is_the_last_instant_of_its_minute(second: str) -> None:
    event = _enrich(submission(), occurredAt=f"2026-03-25T00:59:{second}+01:00")

    assert event.occurred_at == datetime(2026, 3, 24, 23, 59, 59, 999_000, tzinfo=UTC)


_keys = st.text(min_size=1, max_size=128)


@given(
    key=_keys,
    device=_keys,
    sources=st.lists(
        st.fixed_dictionaries({"id": _keys}, optional={"name": st.text(max_size=512)}), max_size=100
    ),
    before=st.timedeltas(min_value=timedelta(minutes=-5), max_value=timedelta(days=30)),
)
def test_event_comes_out_of_its_line_as_it_went_in(
    key: str, device: str, sources: list[dict[str, str]], before: timedelta
) -> None:
    event = _enrich(
        submission(),
        type="rag.retrieval",
        conversationId=key,
        deviceId=device,
        hit=True,
        sources=sources,
        occurredAt=ACCEPTED_AT - before,
    )
    line = encode_event(event)

    assert b"\n" not in line
    assert decode_line(0, line) == event


@pytest.mark.parametrize(
    ("fields", "prefix"),
    [
        ({"type": "chat.action", "action": "a{n}"}, "a"),
        ({"type": "chat.message", "role": "user", "language": "la{n}"}, "la"),
        ({"type": "rag.retrieval", "hit": True, "sources": [{"id": "s{n}"}]}, "s"),
    ],
)
def test_keys_beyond_the_limit_are_marked(fields: dict[str, Any], prefix: str) -> None:
    context = submission(max_keys=3)
    marked = []
    for letter in "abcdeabcde":
        sent = msgspec.json.encode(fields | {"sessionId": "s", "conversationId": "c"})
        event = _enriched(sent.replace(b"{n}", letter.encode()), context)
        marked.append(event.other_keys)
    assert marked == [(), (), (), (f"{prefix}d",), (f"{prefix}e",)] * 2


def test_languages_of_two_letters_count_by_their_name_whatever_the_limit() -> None:
    context = submission(max_keys=1)
    for language in ("de", "en-GB", "fr,en;q=0.5"):
        event = _enrich(
            context, type="chat.message", role="user", conversationId="c", language=language
        )
        assert event.other_keys == ()


def test_only_the_new_sources_of_a_retrieval_are_marked_beyond_the_limit() -> None:
    context = submission(max_keys=2)
    sources = [{"id": name} for name in ("a", "b", "c", "a", "d")]
    event = _enrich(context, type="rag.retrieval", hit=True, conversationId="c", sources=sources)
    assert event.other_keys == ("c", "d")
