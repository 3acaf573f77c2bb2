"""The memory of a partition against Python's own sets."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.processor.memory import (
    BUCKET_MS,
    NO_CHECKS,
    U64,
    WINDOW_MS,
    HashRuns,
    SeenConversations,
    SeenIds,
)

hashes = st.lists(st.integers(0, 40), max_size=20, unique=True)


@given(st.lists(hashes, max_size=12), hashes)
def test_hash_runs_answer_as_a_set_does(added: list[list[int]], asked: list[int]) -> None:
    runs, model = HashRuns(), set[int]()
    for some in added:
        new = [value for value in some if value not in model]
        runs.add(np.array(new, dtype=U64), NO_CHECKS)
        model.update(new)
    found = runs.contains(np.array(asked, dtype=U64), NO_CHECKS)
    assert found.tolist() == [value in model for value in asked]
    assert len(runs) == len(model)


def test_hash_runs_tell_equal_keys_apart_by_their_checks() -> None:
    runs = HashRuns()
    runs.add(np.array([5, 3], dtype=U64), np.array([1, 2], dtype=U64))
    found = runs.contains(np.array([5, 5, 3], dtype=U64), np.array([1, 9, 2], dtype=U64))
    assert found.tolist() == [True, False, True]


def test_hash_runs_stay_few_when_many_are_added() -> None:
    runs = HashRuns()
    for value in range(1000):
        runs.add(np.array([value], dtype=U64), NO_CHECKS)
    assert len(runs.runs) <= 11


def test_large_hash_runs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.processor.memory._MERGED", 8)
    runs = HashRuns()
    for value in range(0, 48, 2):
        runs.add(np.array([value, value + 1], dtype=U64), NO_CHECKS)
    assert [len(keys) for keys, _ in runs.runs] == [8] * 6
    assert runs.contains(np.array([0, 47, 48], dtype=U64), NO_CHECKS).tolist() == [
        True,
        True,
        False,
    ]


def test_seen_ids_are_kept_for_the_window_and_gone_some_time_after() -> None:
    ids = SeenIds()
    one, other = np.array([1], dtype=U64), np.array([2], dtype=U64)
    ids.add(one, 0)
    ids.add(other, WINDOW_MS - 1)
    assert ids.suspects(one).tolist() == [True]
    ids.add(other, WINDOW_MS + 2 * BUCKET_MS)
    assert ids.suspects(one).tolist() == [False]


def test_seen_conversations_are_whole_from_yesterday_on() -> None:
    seen = SeenConversations(complete_from=date(2026, 3, 1))
    seen.advance(date(2026, 3, 25))
    assert seen.complete_from == date(2026, 3, 24)
    seen.advance(date(2026, 3, 20))
    assert seen.complete_from == date(2026, 3, 24)
