"""The steps between Kafka and ClickHouse, without either."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.reasons import DeadLetterReason
from services.processor import pipeline
from services.processor.batch import Batch, Record
from services.processor.cutting import by_month
from services.processor.decode import decode
from services.processor.dedup_index import Partition
from services.processor.lookups import uncertain
from services.processor.memory import shrink
from services.processor.pipeline import prepare, remember
from tests.unit.services.processor.events import NOON, NOON_MS, event, partition, record


def prepared(*records: Record, partitions: dict[int, Partition] | None = None) -> Batch:
    owned = partitions or {number: partition(number) for number in range(4)}
    return prepare(decode(records, owned))


def rows(batch: Batch) -> list[dict[str, Any]]:
    lease = datetime(2026, 3, 25, 13, tzinfo=UTC)
    return [json.loads(row) for row in pipeline.rows(batch, "events", lease)]


def test_row_holds_the_event_its_place_and_the_lease() -> None:
    (row,) = rows(prepared(record(event("a"), partition=3, offset=17, at_ms=NOON_MS + 5)))
    assert row == {
        "type": "chat.message",
        "project_id": "p",
        "is_live": True,
        "id": "a",
        "occurred_at": "2026-03-25T12:00:00Z",
        "accepted_at": "2026-03-25T12:00:00Z",
        "session_id": "s",
        "conversation_id": "c",
        "role": "user",
        "first_of_day": True,
        "line": 0,
        "kp": 3,
        "ko": 17,
        "appended_at": "2026-03-25 12:00:00.005",
        "topic": "events",
        "lease": "2026-03-25 13:00:00.000",
    }


def test_lines_keep_their_numbers_when_one_between_them_is_bad() -> None:
    batch = prepared(record(event("a"), b"{oops", event("b"), b"[]", event("c")))
    assert [row["line"] for row in rows(batch)] == [0, 2, 4]
    assert [(letter.line, letter.value, letter.reason) for letter in batch.dead_letters] == [
        (1, b"{oops", DeadLetterReason.NOT_JSON),
        (3, b"[]", DeadLetterReason.INVALID_EVENT),
    ]


@pytest.mark.parametrize("value", [None, b"", b" \n "])
def test_record_is_dead_lettered_whole_when_it_is_empty(value: bytes | None) -> None:
    batch = prepared(Record(0, 0, NOON_MS, value))
    (letter,) = batch.dead_letters
    assert (letter.line, letter.reason) == (None, DeadLetterReason.EMPTY_RECORD)
    assert len(batch) == 0


@pytest.mark.parametrize("away", [timedelta(days=-33), timedelta(hours=2)])
def test_event_is_dead_lettered_when_it_occurred_too_far_from_its_append(away: timedelta) -> None:
    batch = prepared(record(event(occurred_at=(NOON + away).isoformat())))
    assert [letter.reason for letter in batch.dead_letters] == [
        DeadLetterReason.OCCURRED_AT_OUT_OF_RANGE
    ]
    assert len(batch) == 0


def test_record_is_skipped_when_the_table_holds_it() -> None:
    owned = {0: partition(0, next_offset=8)}
    batch = prepared(record(event("a"), offset=7), record(event("b"), offset=8), partitions=owned)
    assert [row["id"] for row in rows(batch)] == ["b"]
    assert batch.skipped == 1


def test_duplicate_is_left_out_when_it_is_in_the_same_batch() -> None:
    batch = prepared(record(event("a"), event("a")), record(event("a"), offset=1))
    assert len(batch) == 1
    assert batch.duplicates == 2


@pytest.mark.parametrize(
    "fields", [{"project_id": "q"}, {"is_live": False}, {"conversation_id": "d"}, {"id": "b"}]
)
def test_events_are_told_apart_by_project_mode_conversation_and_id(fields: dict[str, Any]) -> None:
    assert len(prepared(record(event("a"), event(**({"event_id": "a"} | _named(fields)))))) == 2


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    return {"event_id" if name == "id" else name: value for name, value in fields.items()}


def test_duplicate_is_left_out_after_its_first_was_remembered() -> None:
    owned = {0: partition(0)}
    remember(prepared(record(event("a")), partitions=owned))
    batch = prepared(record(event("a"), event("b"), offset=1), partitions=owned)
    assert [row["id"] for row in rows(batch)] == ["b"]


def test_event_whose_key_is_that_of_another_is_counted() -> None:
    owned = {0: partition(0)}
    batch = decode([record(event("a"))], owned)
    key, check = batch.identities(np.array([0]))
    owned[0].ids.add(key, check + np.uint64(1), NOON_MS)
    assert len(prepared(record(event("a")), partitions=owned)) == 1


def test_nothing_is_asked_about_events_of_the_window() -> None:
    owned = {0: partition(0)}
    remember(prepared(record(event("a")), partitions=owned))
    assert not uncertain(decode([record(event("a"), event("b"), offset=1)], owned))


@pytest.mark.parametrize(("hours", "asked"), [(1, 0), (22.9, 0), (23.1, 1), (300, 1)])
def test_table_is_asked_about_an_event_that_occurred_before_the_window(
    hours: float, asked: int
) -> None:
    occurred_at = (NOON - timedelta(hours=hours)).isoformat()
    batch = decode([record(event("a", occurred_at=occurred_at))], {0: partition(0)})
    assert len(uncertain(batch).late) == asked


def test_table_is_asked_about_what_only_a_filter_remembers() -> None:
    owned = {0: partition(0)}
    remember(
        prepared(record(*(event(f"e{n}", "session.started") for n in range(500))), partitions=owned)
    )
    for bucket in owned[0].ids.buckets.values():
        bucket.compact()
    batch = decode([record(event("e7", "session.started"), event("new"), offset=1)], owned)
    assert uncertain(batch).filtered.tolist() == [0]
    assert not batch.is_counted.any()


def test_first_of_day_is_the_first_message_of_each_day_and_mode() -> None:
    batch = prepared(
        record(
            event("a", occurred_at="2026-03-24T23:59:59.999Z"),
            event("b", occurred_at="2026-03-25T00:00:00Z", role="assistant"),
            event("c", occurred_at="2026-03-25T00:00:01Z"),
            event("d", is_live=False),
            event("e", conversation_id="other"),
            event("f", "chat.action", action="x", conversation_id="third"),
        )
    )
    first = {row["id"]: row.get("first_of_day", False) for row in rows(batch)}
    assert first == {"a": True, "b": True, "c": False, "d": True, "e": True, "f": False}


def test_first_of_day_is_remembered_over_batches() -> None:
    owned = {0: partition(0)}
    remember(prepared(record(event("a")), partitions=owned))
    (row,) = rows(prepared(record(event("b"), offset=1), partitions=owned))
    assert "first_of_day" not in row


def test_duplicate_is_not_the_first_of_the_day() -> None:
    owned = {0: partition(0)}
    batch = decode([record(event("a"), event("b"), offset=1)], owned)
    batch.is_counted[0] = True
    assert [(row["id"], row["first_of_day"]) for row in rows(prepare(batch))] == [("b", True)]


def test_old_conversation_is_asked_once_and_then_remembered() -> None:
    owned = {0: partition(0)}
    old = event("a", occurred_at="2026-03-10T08:00:00Z")
    batch = decode([record(old)], owned)
    assert uncertain(batch).messages.tolist() == [0]
    batch.has_begun[0] = True
    remember(prepare(batch))
    (row,) = rows(batch)
    assert "first_of_day" not in row
    again = event("b", occurred_at="2026-03-10T09:00:00Z")
    assert not len(uncertain(decode([record(again, offset=1)], owned)).messages)


def test_recent_conversation_is_never_asked() -> None:
    assert not uncertain(decode([record(event("a"))], {0: partition(0)}))


def test_batches_are_split_where_the_month_of_the_append_changes() -> None:
    march, april = NOON_MS, NOON_MS + 10 * 86_400_000
    batches = list(
        by_month(
            [
                record(event(), partition=1, offset=1, at_ms=april),
                record(event(), partition=0, offset=5, at_ms=march),
                record(event(), partition=0, offset=6, at_ms=april),
            ]
        )
    )
    assert [[(r.partition, r.offset) for r in batch] for batch in batches] == [
        [(0, 5)],
        [(1, 1), (0, 6)],
    ]


def test_records_stay_in_order_when_the_clock_was_set_back_at_the_turn_of_a_month() -> None:
    march, april = NOON_MS, NOON_MS + 10 * 86_400_000
    months = [april, march, april]
    records = [record(event(), offset=at, at_ms=month) for at, month in enumerate(months)]
    assert [[r.offset for r in batch] for batch in by_month(records)] == [[0], [1], [2]]


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_become_rows_or_dead_letters_and_nothing_else(lines: list[bytes]) -> None:
    value = b"\n".join(lines)
    batch = prepared(Record(0, 0, NOON_MS, value))
    lines_inside = [line for line in value.split(b"\n") if line and not line.isspace()]
    if not lines_inside:
        assert len(batch.dead_letters) == 1
    else:
        assert len(batch) + batch.duplicates + len(batch.dead_letters) == len(lines_inside)


messages = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz"), st.integers(0, 2)), max_size=40
)


@given(messages)
def test_rows_are_the_same_however_the_batches_are_cut(
    messages: list[tuple[str, str, int]],
) -> None:
    """The table's answers are played by the rows inserted so far."""
    records = _records(messages)
    whole = _counted(records, 100)
    assert _counted(records, 1) == _counted(records, 7) == whole


@given(messages)
def test_rows_are_the_same_however_small_the_memory_is(
    messages: list[tuple[str, str, int]],
) -> None:
    records = _records(messages)
    assert _counted(records, 3, max_bytes=0) == _counted(records, 3)


def _records(messages: list[tuple[str, str, int]]) -> list[Record]:
    return [
        record(
            event(name, conversation_id=conversation, occurred_at=f"2026-03-2{3 + day}T10:00:00Z"),
            offset=offset,
        )
        for offset, (name, conversation, day) in enumerate(messages)
    ]


def _counted(
    records: list[Record], size: int, max_bytes: int = 1_000_000
) -> list[tuple[str, int, bool]]:
    owned = {0: partition(0)}
    table: list[dict[str, Any]] = []
    for start in range(0, len(records), size):
        batch = decode(records[start : start + size], owned)
        _answer(batch, table)
        table += rows(prepare(batch))
        remember(batch)
        shrink(owned.values(), max_bytes)
    return [(row["id"], row["ko"], "first_of_day" in row) for row in table]


def _answer(batch: Batch, table: list[dict[str, Any]]) -> None:
    """As the table would: of late events by their day."""
    asked = uncertain(batch)
    names = {(row["conversation_id"], row["id"]) for row in table}
    late = {(row["conversation_id"], row["id"], row["occurred_at"][:10]) for row in table}
    days = {(row["conversation_id"], row["occurred_at"][:10]) for row in table}
    for at in asked.filtered.tolist():
        found: Any = batch.event(at)
        batch.is_counted[at] = (found.conversation_id, found.id) in names
    for at in asked.late.tolist():
        found = batch.event(at)
        day = found.occurred_at.date().isoformat()
        batch.is_counted[at] |= (found.conversation_id, found.id, day) in late
    for at in asked.messages.tolist():
        found = batch.event(at)
        batch.has_begun[at] = (found.conversation_id, found.occurred_at.date().isoformat()) in days
