"""The steps between Kafka and ClickHouse, without either."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.digest import id_hash
from libs.events.reasons import DeadLetterReason
from services.processor.agent import by_month
from services.processor.batch import Batch, Known, Record
from services.processor.decode import decode
from services.processor.memory import Partition
from services.processor.pipeline import body, old_conversations, prepare, remember, suspects
from tests.unit.services.processor.events import NOON, NOON_MS, event, partition, record


def prepared(
    *records: Record, partitions: dict[int, Partition] | None = None, known: Known | None = None
) -> Batch:
    owned = partitions or {number: partition(number) for number in range(4)}
    return prepare(decode(records, owned), known or Known())


def rows(batch: Batch) -> list[dict[str, Any]]:
    text = b"".join(body(batch, "events", datetime(2026, 3, 25, 13, tzinfo=UTC)))
    return [json.loads(line) for line in text.splitlines()]


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


def test_repeat_is_dropped_when_it_is_in_the_same_batch() -> None:
    batch = prepared(record(event("a"), event("a")), record(event("a"), offset=1))
    assert len(batch) == 1
    assert batch.repeated == 2


def test_ids_are_told_apart_by_project() -> None:
    assert len(prepared(record(event("a"), event("a", project_id="q")))) == 2


def test_repeat_is_suspected_after_its_first_was_remembered() -> None:
    owned = {0: partition(0)}
    remember(prepared(record(event("a")), partitions=owned))
    again = decode([record(event("a"), event("b"), offset=1)], owned)
    assert [suspect.identity for suspect in suspects(again)] == [(0, "p", "a")]


def _after(event_id: str) -> dict[int, Partition]:
    """A partition that remembers an id, and no conversation."""
    owned = {0: partition(0)}
    remember(prepared(record(event(event_id, "session.started")), partitions=owned))
    return owned


@pytest.mark.parametrize(("hours", "counted"), [(1, 0), (23.9, 0), (24, 1), (30, 1)])
def test_repeat_counts_again_only_after_24_hours(hours: float, counted: int) -> None:
    known = Known(counted_at_ms={(0, "p", "a"): NOON_MS - round(hours * 3_600_000)})
    batch = prepared(record(event("a"), offset=1), partitions=_after("a"), known=known)
    assert len(batch) == counted


def test_suspect_counts_when_the_table_does_not_know_its_id() -> None:
    owned = {0: partition(0)}
    other = decode([record(event("other"))], owned)
    other.marks = other.marks.copy()
    other.marks["id"][0] = id_hash("p", "a")  # a forced collision
    remember(prepare(other, Known()))
    batch = decode([record(event("a"), offset=1)], owned)
    assert len(suspects(batch)) == 1
    assert len(prepare(batch, Known())) == 1


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


def test_repeat_that_is_dropped_is_not_the_first_of_the_day() -> None:
    known = Known(counted_at_ms={(0, "p", "a"): NOON_MS - 1000})
    batch = prepared(record(event("a"), event("b"), offset=1), partitions=_after("a"), known=known)
    assert [(row["id"], row["first_of_day"]) for row in rows(batch)] == [("b", True)]


def test_old_conversation_is_asked_once_and_then_remembered() -> None:
    owned = {0: partition(0)}
    old = event("a", occurred_at="2026-03-10T08:00:00Z")
    day = (0, date(2026, 3, 10), "p", True, "c")
    batch = decode([record(old)], owned)
    assert old_conversations(batch) == {day}
    remember(prepare(batch, Known(conversations=frozenset({day}))))
    (row,) = rows(batch)
    assert "first_of_day" not in row
    again = event("b", occurred_at="2026-03-10T09:00:00Z")
    assert old_conversations(decode([record(again, offset=1)], owned)) == set()


def test_recent_conversation_is_never_asked() -> None:
    assert old_conversations(decode([record(event("a"))], {0: partition(0)})) == set()


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
        assert len(batch) + batch.repeated + len(batch.dead_letters) == len(lines_inside)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz"), st.integers(0, 2)), max_size=40
    )
)
def test_rows_are_the_same_however_the_batches_are_cut(
    messages: list[tuple[str, str, int]],
) -> None:
    """The table's answers are played by the rows inserted so far."""
    records = [
        record(
            event(name, conversation_id=conversation, occurred_at=f"2026-03-2{3 + day}T10:00:00Z"),
            offset=offset,
        )
        for offset, (name, conversation, day) in enumerate(messages)
    ]
    assert _counted(records, 1) == _counted(records, 7) == _counted(records, 100)


def _counted(records: list[Record], size: int) -> list[tuple[str, int, bool]]:
    owned = {0: partition(0)}
    table: list[dict[str, Any]] = []
    for start in range(0, len(records), size):
        batch = decode(records[start : start + size], owned)
        asked = old_conversations(batch)
        known = Known(
            counted_at_ms={
                (0, "p", row["id"]): NOON_MS
                for row in table
                if row["id"] in {suspect.identity[2] for suspect in suspects(batch)}
            },
            conversations=frozenset(
                conversation
                for conversation in asked
                if any(
                    row["conversation_id"] == conversation[4]
                    and row["occurred_at"].startswith(conversation[1].isoformat())
                    for row in table
                )
            ),
        )
        table += rows(prepare(batch, known))
        remember(batch)
    return [(row["id"], row["ko"], "first_of_day" in row) for row in table]
