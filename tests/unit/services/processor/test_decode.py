"""With a digest or without one: the same events are counted."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.digest import digest_of
from libs.events.models import AnyEvent
from services.processor.batch import Batch, Known, Record, WrongDigestError
from services.processor.decode import decode
from services.processor.memory import Partition
from services.processor.pipeline import body, prepare, remember, suspects
from tests.unit.services.processor.events import (
    NOON,
    digested,
    event,
    partition,
    record,
)


def rows(batch: Batch) -> list[dict[str, Any]]:
    text = b"".join(body(batch, "events", datetime(2026, 3, 25, 13, tzinfo=UTC)))
    return [json.loads(line) for line in text.splitlines()]


_KINDS: dict[str, dict[str, Any]] = {
    "chat.message": {},
    "chat.action": {"action": "x}\n{"},
    "rag.retrieval": {"hit": True, "sources": [{"id": "s", "name": 'a"}'}]},
    "session.started": {},
    "session.ended": {"duration_ms": 5},
}


@st.composite
def _events(draw: st.DrawFn) -> AnyEvent:
    kind = draw(st.sampled_from(sorted(_KINDS)))
    fields: dict[str, Any] = {"session_id": draw(st.text(min_size=1, max_size=5)), **_KINDS[kind]}
    if not kind.startswith("session"):
        fields["conversation_id"] = draw(st.sampled_from(["c", "d", "é\u2028"]))
    moment = NOON - timedelta(days=draw(st.integers(0, 3)), seconds=draw(st.integers(0, 86_399)))
    fields["occurred_at"] = moment.isoformat()
    return event(draw(st.sampled_from("abcdefgh")), kind, **fields)


@given(st.lists(st.lists(_events(), min_size=1, max_size=8), max_size=6))
def test_the_same_rows_come_of_records_with_a_digest_and_without(
    records: list[list[AnyEvent]],
) -> None:
    assert _counted(records, is_digested=True) == _counted(records, is_digested=False)


def _counted(records: list[list[AnyEvent]], *, is_digested: bool) -> list[Any]:
    """Two batches, so that the second meets what the first has left in the memory."""
    owned = {0: partition(0)}
    found: list[Any] = []
    for half in (range(len(records) // 2), range(len(records) // 2, len(records))):
        make = digested if is_digested else record
        batch = decode([make(*records[at], offset=at) for at in half], owned)
        found.append([suspect.identity for suspect in suspects(batch)])
        found += rows(prepare(batch, Known()))
        remember(batch)
    return found


def _batch(*records: Record, owned: dict[int, Partition] | None = None) -> Batch:
    return decode(list(records), owned or {0: partition(0)})


def test_digested_line_is_taken_as_it_stands() -> None:
    value = b'{"not":"an event"}'
    batch = _batch(Record(0, 0, 1_774_440_000_000, value, digest_of(value, [_mark_of("a")])))
    assert rows(prepare(batch, Known()))[0]["not"] == "an event"
    assert not batch.dead_letters


def _mark_of(event_id: str) -> bytes:
    digest = digested(event(event_id)).digest
    assert digest is not None
    return digest[8:]


def test_record_is_decoded_when_its_digest_is_of_another_value() -> None:
    good, other = digested(event("a")), digested(event("b"))
    batch = _batch(Record(0, 0, good.appended_at_ms, good.value, other.digest))
    assert [row["id"] for row in rows(prepare(batch, Known()))] == ["a"]
    bad = _batch(Record(0, 0, good.appended_at_ms, b"{oops", other.digest))
    assert len(bad.dead_letters) == 1


def test_record_is_decoded_when_digests_are_not_trusted() -> None:
    value = b'{"not":"an event"}'
    lying = Record(0, 0, 1_774_440_000_000, value, digest_of(value, [_mark_of("a")]))
    assert len(decode([lying], {0: partition(0)}, trusting=False).dead_letters) == 1


@pytest.mark.parametrize("away", [timedelta(days=-33), timedelta(hours=2)])
def test_event_is_dead_lettered_when_its_mark_is_out_of_the_window(away: timedelta) -> None:
    moment = (NOON + away).isoformat()
    batch = _batch(digested(event("a"), event("b", occurred_at=moment)))
    assert len(batch.dead_letters) == 1
    assert [row["id"] for row in rows(prepare(batch, Known()))] == ["a"]


def test_wrong_digest_is_noticed_when_a_suspect_is_looked_at() -> None:
    owned = {0: partition(0)}
    remember(prepare(_batch(digested(event("a")), owned=owned), Known()))
    value = b'{"not":"an event"}'
    lying = Record(0, 1, 1_774_440_000_000, value, digest_of(value, [_mark_of("a")]))
    with pytest.raises(WrongDigestError):
        suspects(_batch(lying, owned=owned))
