"""With an index or without one: the same events are counted."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.models import AnyEvent
from libs.events.record_index import index_of
from services.processor import pipeline
from services.processor.batch import Batch, Record, WrongIndexError
from services.processor.decode import decode
from services.processor.dedup_index import Partition
from services.processor.lookups import uncertain
from services.processor.pipeline import prepare, remember
from tests.unit.services.processor.events import (
    NOON,
    event,
    indexed,
    partition,
    record,
)


def rows(batch: Batch) -> list[dict[str, Any]]:
    lease = datetime(2026, 3, 25, 13, tzinfo=UTC)
    return [json.loads(row) for row in pipeline.rows(batch, "events", lease)]


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
def test_the_same_rows_come_of_records_with_an_index_and_without(
    records: list[list[AnyEvent]],
) -> None:
    assert _counted(records, is_indexed=True) == _counted(records, is_indexed=False)


def _counted(records: list[list[AnyEvent]], *, is_indexed: bool) -> list[Any]:
    """Two batches, so that the second meets what the first has left in the memory."""
    owned = {0: partition(0)}
    found: list[Any] = []
    for half in (range(len(records) // 2), range(len(records) // 2, len(records))):
        make = indexed if is_indexed else record
        batch = decode([make(*records[at], offset=at) for at in half], owned)
        asked = uncertain(batch)
        found += [batch.is_counted.tolist(), asked.late.tolist(), asked.messages.tolist()]
        found += rows(prepare(batch))
        remember(batch)
    return found


def _batch(*records: Record, owned: dict[int, Partition] | None = None) -> Batch:
    return decode(list(records), owned or {0: partition(0)})


def test_indexed_line_is_taken_as_it_stands() -> None:
    value = b'{"not":"an event"}'
    batch = _batch(Record(0, 0, 1_774_440_000_000, value, index_of(value, [_entry_of("a")])))
    assert rows(prepare(batch))[0]["not"] == "an event"
    assert not batch.dead_letters


def _entry_of(event_id: str) -> bytes:
    index = indexed(event(event_id)).index
    assert index is not None
    return index[8:]


def test_record_is_decoded_when_its_index_is_of_another_value() -> None:
    good, other = indexed(event("a")), indexed(event("b"))
    batch = _batch(Record(0, 0, good.appended_at_ms, good.value, other.index))
    assert [row["id"] for row in rows(prepare(batch))] == ["a"]
    bad = _batch(Record(0, 0, good.appended_at_ms, b"{oops", other.index))
    assert len(bad.dead_letters) == 1


def test_record_is_decoded_when_indexes_are_not_trusted() -> None:
    value = b'{"not":"an event"}'
    lying = Record(0, 0, 1_774_440_000_000, value, index_of(value, [_entry_of("a")]))
    assert len(decode([lying], {0: partition(0)}, trusting=False).dead_letters) == 1


@pytest.mark.parametrize("away", [timedelta(days=-33), timedelta(hours=2)])
def test_event_is_dead_lettered_when_its_entry_is_out_of_the_window(away: timedelta) -> None:
    moment = (NOON + away).isoformat()
    batch = _batch(indexed(event("a"), event("b", occurred_at=moment)))
    assert len(batch.dead_letters) == 1
    assert [row["id"] for row in rows(prepare(batch))] == ["a"]


@pytest.mark.parametrize("trusting", [True, False])
@pytest.mark.parametrize(
    ("first", "found"),
    [(timedelta(days=-5), ["a", "b"]), (timedelta(0), ["a"]), (timedelta(days=5), ["a"])],
    ids=["waited", "did not wait", "is no time before its append"],
)
def test_event_is_not_too_old_when_it_waited_in_another_topic(
    first: timedelta, found: list[str], *, trusting: bool
) -> None:
    moment = (NOON - timedelta(days=33)).isoformat()
    header = b"%d" % round((NOON + first).timestamp() * 1000)
    carried = replace(indexed(event("a"), event("b", occurred_at=moment)), first_appended=header)
    batch = decode([carried], {0: partition(0)}, trusting=trusting)
    assert [row["id"] for row in rows(prepare(batch))] == found


@pytest.mark.parametrize("header", [b"", b"soon", b"-1", b"9" * 16, "٣".encode()])
def test_header_that_is_no_time_is_left_out_of_account(header: bytes) -> None:
    assert Record(0, 0, 7, b"", first_appended=header).first_appended_ms == 7


def test_wrong_index_is_noticed_when_an_event_is_looked_at() -> None:
    value = b'{"not":"an event"}'
    lying = Record(0, 1, 1_774_440_000_000, value, index_of(value, [_entry_of("a")]))
    with pytest.raises(WrongIndexError):
        _batch(lying).event(0)


@pytest.mark.parametrize("trusting", [True, False])
def test_record_of_the_release_before_is_read_line_by_line(*, trusting: bool) -> None:
    good = indexed(event("a"))
    old = Record(0, 0, good.appended_at_ms, good.value, None)
    (row,) = rows(prepare(decode([old], {0: partition(0)}, trusting=trusting)))
    assert row["id"] == "a"


def test_lines_that_clickhouse_refused_are_dead_lettered_as_they_stand() -> None:
    first = record(event("a"), event("b"), b"{oops", event("c"))
    second = replace(record(event("d"), event("e")), offset=first.offset + 1)
    gone = replace(first, offset=first.offset + 2)
    batch = decode([first, second], {0: partition(0)})
    batch.refuse({(first, 1): "Code: 27", (second, 0): "Code: 6", (gone, 0): "Code: 6"})
    assert [(one.record, one.line, one.reason, one.detail) for one in batch.dead_letters[1:]] == [
        (first, 1, "refused_by_clickhouse", "Code: 27"),
        (second, 0, "refused_by_clickhouse", "Code: 6"),
    ]
    assert batch.dead_letters[1].value == (first.value or b"").split(b"\n")[1]
    assert [batch.line(at) for at in range(3)] == [(first, 0), (first, 3), (second, 1)]
    assert [row["id"] for row in rows(prepare(batch))] == ["a", "c", "e"]
