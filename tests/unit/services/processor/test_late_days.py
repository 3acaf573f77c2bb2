"""Which days are read whole, and which are asked about event by event."""

import numpy as np

from services.processor.dedup_index import BYTES_AN_IDENTITY
from services.processor.late_days import LateDay, LateDays

_ROWS = 3_200


def day() -> LateDay:
    """One of so many events."""
    read = LateDay()
    numbers = np.arange(_ROWS, dtype=np.uint64)
    read.ids.add(numbers, numbers)
    return read


def test_day_is_read_when_enough_of_its_events_were_asked_about() -> None:
    days = LateDays(0)
    assert [days.is_worth_reading((1, 7), 100) for _ in range(3)] == [False, False, True]
    assert not days.is_worth_reading((1, 8), 299)


def test_day_that_is_too_large_is_never_read() -> None:
    days = LateDays(0)
    days.never_read((1, 7))
    assert not days.is_worth_reading((1, 7), 10_000_000)


def test_day_that_had_to_go_is_read_again_only_when_many_more_were_asked_about() -> None:
    days = LateDays(_ROWS * BYTES_AN_IDENTITY)
    days.put((1, 7), day())
    days.put((1, 8), day())
    assert days.get((1, 7)) is None
    assert not days.is_worth_reading((1, 7), 499)
    assert days.is_worth_reading((1, 7), 1)


def test_day_that_was_used_last_stays() -> None:
    days = LateDays(2 * _ROWS * BYTES_AN_IDENTITY)
    days.put((1, 7), day())
    days.put((1, 8), day())
    days.get((1, 7))
    days.put((1, 9), day())
    assert [days.get((1, number)) is None for number in (7, 8, 9)] == [False, True, False]
