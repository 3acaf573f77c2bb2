"""From rows to the answer."""

import random
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.answers import cites_sources, encode_answer, sources_of, stats_of
from services.query.questions import Category, Question

DAY = date(2026, 3, 25)
DAY_BEFORE = date(2026, 3, 24)

Row = tuple[date, str, str, bool, int]


def shown(*rows: Row) -> list[tuple[str, str, int | float, bool]]:
    return [(stat.category, stat.key, stat.value, stat.is_live) for stat in stats_of(rows)]


def test_average_is_made_from_sums_when_conversations_were_counted() -> None:
    assert shown(
        (DAY, "conversation", "total", True, 3),
        (DAY, "conversation", "_user_messages", True, 8),
    ) == [("conversation", "total", 3, True), ("conversation", "avg_messages", 2.67, True)]


def test_average_is_zero_when_only_the_assistant_spoke() -> None:
    assert shown((DAY, "conversation", "total", True, 2)) == [
        ("conversation", "total", 2, True),
        ("conversation", "avg_messages", 0.0, True),
    ]


def test_conversation_has_no_row_when_its_messages_belong_to_another_device() -> None:
    assert shown((DAY, "conversation", "_user_messages", True, 8)) == []


def test_duration_is_mean_seconds_when_sessions_ended() -> None:
    assert shown(
        (DAY, "session", "total", True, 5),
        (DAY, "session", "_ended", True, 3),
        (DAY, "session", "_ended_ms", True, 100_000),
    ) == [("session", "avg_duration", 33.33, True), ("session", "total", 5, True)]


@pytest.mark.parametrize("sums", [[], [(DAY, "session", "_ended_ms", True, 0)]])
def test_duration_is_zero_when_ended_sessions_took_no_time(sums: list[Row]) -> None:
    rows = [(DAY, "session", "_ended", True, 2), *sums]
    assert shown(*rows) == [("session", "avg_duration", 0.0, True)]


def test_sums_stay_apart_when_days_or_modes_differ() -> None:
    assert shown(
        (DAY, "conversation", "total", True, 2),
        (DAY, "conversation", "_user_messages", True, 2),
        (DAY, "conversation", "total", False, 1),
        (DAY, "conversation", "_user_messages", False, 9),
        (DAY_BEFORE, "conversation", "_user_messages", True, 100),
    ) == [
        ("conversation", "avg_messages", 9.0, False),
        ("conversation", "total", 2, True),
        ("conversation", "avg_messages", 1.0, True),
        ("conversation", "total", 1, False),
    ]


def test_key_is_shown_when_a_producer_called_it_like_an_internal_one() -> None:
    rows = [(DAY, "action", "_ended", True, 1), (DAY, "source", "_user_messages", True, 1)]
    assert [key for _, key, _, _ in shown(*rows)] == ["_ended", "_user_messages"]


@pytest.mark.parametrize("total", [0, -1])
@pytest.mark.parametrize(
    ("category", "key"),
    [("usage", "public"), ("conversation", "total"), ("session", "total"), ("session", "_ended")],
)
def test_row_is_not_shown_when_its_total_is_not_positive(
    category: str, key: str, total: int
) -> None:
    assert shown((DAY, category, key, True, total)) == []


def test_stats_are_ordered_as_promised_whatever_the_order_of_rows() -> None:
    expected = [
        (DAY, "action", "a", True, 3),
        (DAY, "action", "b", True, 2),
        (DAY, "action", "c", True, 2),
        (DAY, "action", "c", False, 2),
        (DAY, "usage", "public", True, 1),
        (DAY_BEFORE, "action", "a", True, 9),
    ]
    rows = expected.copy()
    random.shuffle(rows)
    assert [(s.date, s.category, s.key, s.is_live, s.value) for s in stats_of(rows)] == expected


def test_source_is_named_by_its_id_when_nobody_named_it() -> None:
    stats = stats_of(
        [
            (DAY, "source", "src-2", True, 9),
            (DAY, "source", "src-1", True, 1),
            (DAY_BEFORE, "source", "src-1", True, 1),
            (DAY, "action", "src-3", True, 1),
        ]
    )
    names = [("src-1", "Visitor guide"), ("src-9", "Not in the answer")]
    assert cites_sources(stats)
    assert [(s.id, s.name) for s in sources_of(stats, names)] == [
        ("src-1", "Visitor guide"),
        ("src-2", "src-2"),
    ]


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u00a0\u3000"])
def test_source_is_called_by_its_id_when_a_release_before_kept_a_blank_name(name: str) -> None:
    stats = stats_of([(DAY, "source", "src-1", True, 1)])
    [source] = sources_of(stats, [("src-1", name)])
    assert source.name == "src-1"


def test_names_are_not_needed_when_no_source_is_shown() -> None:
    assert not cites_sources(stats_of([(DAY, "action", "source", True, 1)]))


@pytest.mark.parametrize(("category", "name"), [(None, "all"), (Category.USAGE, "usage")])
def test_answer_has_the_promised_fields_in_order_when_encoded(
    category: Category | None, name: str
) -> None:
    question = Question("museum", DAY_BEFORE, DAY, category, live_only=True, device_id=None)
    stats = stats_of([(DAY, "usage", "public", True, 142)])
    body = encode_answer(question, stats, [])
    assert body.decode() == (
        '{"projectId":"museum","range":{"from":"2026-03-24","to":"2026-03-25"},'
        f'"category":"{name}","liveOnly":true,'
        '"stats":[{"date":"2026-03-25","category":"usage","key":"public","value":142,"isLive":true}],'
        '"sources":[]}'
    )


_ROWS = st.lists(
    st.tuples(
        st.dates(date(2026, 3, 1), date(2026, 3, 3)),
        st.sampled_from(list(Category)).map(str),
        st.sampled_from(["total", "_user_messages", "_ended", "_ended_ms", "a", "\0", "é🤖"]),
        st.booleans(),
        st.integers(-5, 10**12),
    ),
    unique_by=lambda row: row[:4],
)


@given(_ROWS)
def test_answer_is_json_with_positive_counts_when_rows_are_any(rows: list[Row]) -> None:
    question = Question("museum", DAY, DAY, None, live_only=False, device_id=None)
    stats = stats_of(rows)
    answer: dict[str, Any] = msgspec.json.decode(encode_answer(question, stats, []))
    assert len(answer["stats"]) == len(stats)
    for stat in answer["stats"]:
        if stat["key"] in ("avg_messages", "avg_duration"):
            assert isinstance(stat["value"], float)
        else:
            assert isinstance(stat["value"], int)
            assert stat["value"] > 0


def test_keys_beyond_the_limit_are_one_row_that_says_so() -> None:
    day = date(2026, 3, 25)
    rows = [
        (day, "source", "", True, 9),
        (day, "source", "other", True, 9),
        (day, "source", "src-1", True, 2),
        (day, "language", "", False, 1),
    ]
    stats = stats_of(rows)
    assert [(s.category, s.key, s.value, s.other or False) for s in stats] == [
        ("language", "other", 1, True),
        ("source", "other", 9, False),
        ("source", "other", 9, True),
        ("source", "src-1", 2, False),
    ]
    assert [one.id for one in sources_of(stats, [])] == ["other", "src-1"]


@given(st.integers(0, 10**12), st.integers(1, 10**9))
def test_averages_are_rounded_exactly_halves_away_from_zero(total: int, number: int) -> None:
    day = date(2026, 3, 25)
    rows = [(day, "session", "_ended", True, number), (day, "session", "_ended_ms", True, total)]
    (stat,) = stats_of(rows)
    exact = Decimal(total) / Decimal(1000 * number)
    assert stat.value == float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


@pytest.mark.parametrize(
    ("ms", "ended", "seconds"),
    [(2675, 1, 2.68), (1005, 1, 1.01), (5, 1, 0.01), (4, 1, 0.0), (8325, 1, 8.33), (25, 2, 0.01)],
)
def test_half_a_hundredth_of_a_second_is_a_whole_one(ms: int, ended: int, seconds: float) -> None:
    day = date(2026, 3, 25)
    rows = [(day, "session", "_ended", True, ended), (day, "session", "_ended_ms", True, ms)]
    assert [stat.value for stat in stats_of(rows)] == [seconds]
