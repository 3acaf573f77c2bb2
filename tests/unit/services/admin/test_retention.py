"""From which day on the raw table is complete, whatever it was told to keep before."""

from datetime import UTC, date, datetime, timedelta

import pytest

from libs.clickhouse.kept_days import complete_since
from services.admin.retention import Kept

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize("noted", [[], [(days_ago(900), 0)]])
def test_all_days_are_complete_when_nothing_was_ever_deleted(
    noted: list[tuple[datetime, int]],
) -> None:
    assert complete_since(noted, NOW) is None


def test_days_are_complete_when_they_are_younger_than_the_retention() -> None:
    cut = date(2026, 11, 25) - timedelta(days=400)
    assert complete_since([(days_ago(2), 400)], NOW) == cut + timedelta(days=2)


def test_days_stay_incomplete_when_more_is_kept_than_before() -> None:
    # 100 days were kept until 10 days ago: what was older then is gone.
    noted = [(days_ago(300), 100), (days_ago(10), 400)]
    assert complete_since(noted, NOW) == days_ago(110).date() + timedelta(days=2)
    noted = [(days_ago(300), 100), (days_ago(10), 0)]
    assert complete_since(noted, NOW) == days_ago(110).date() + timedelta(days=2)


def test_the_newest_cut_counts_when_less_is_kept_than_before() -> None:
    noted = [(days_ago(300), 400), (days_ago(10), 90)]
    assert complete_since(noted, NOW) == days_ago(90).date() + timedelta(days=2)


@pytest.mark.parametrize(
    ("oldest", "days", "deletes"),
    [
        (None, 60, False),
        (days_ago(399), 400, False),
        (days_ago(401), 400, True),
        (days_ago(401), 0, False),
    ],
)
def test_change_deletes_when_rows_are_older_than_the_new_retention(
    oldest: datetime | None, days: int, *, deletes: bool
) -> None:
    assert Kept(0, oldest).would_delete(days, NOW) is deletes
