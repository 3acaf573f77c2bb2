"""The memory of a partition against Python's own sets, and its bound."""

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.processor.dedup_index import (
    BUCKET_MS,
    BYTES_AN_IDENTITY,
    U64,
    WINDOW_MS,
    Hashes,
    IdentityRuns,
    Partition,
    SeenConversations,
    SeenIds,
)
from services.processor.id_filter import IdFilter
from services.processor.memory import shrink, usage

# Few keys and few checks, so that keys meet with other checks.
identities = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=20, unique=True)


def columns(some: list[tuple[int, int]]) -> tuple[Hashes, Hashes]:
    return np.array([key for key, _ in some], dtype=U64), np.array([c for _, c in some], dtype=U64)


def drawn(number: int, seed: int = 1) -> tuple[Hashes, Hashes]:
    random = np.random.default_rng(seed)
    keys, checks = random.integers(0, 2**64, (2, number), dtype=U64)
    return keys, checks


@given(st.lists(identities, max_size=12), identities)
def test_identity_runs_answer_as_a_set_does(
    added: list[list[tuple[int, int]]], asked: list[tuple[int, int]]
) -> None:
    runs, model = IdentityRuns(), set[tuple[int, int]]()
    for some in added:
        new = [one for one in some if one not in model]
        runs.add(*columns(new))
        model.update(new)
    assert runs.contains(*columns(asked)).tolist() == [one in model for one in asked]
    assert len(runs) == len(model)


def test_identity_runs_stay_few_when_many_are_added() -> None:
    runs = IdentityRuns()
    for value in range(1000):
        runs.add(*columns([(value, 0)]))
    assert len(runs.runs) <= 11


def test_large_identity_runs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.processor.dedup_index._MERGED", 8)
    runs = IdentityRuns()
    for value in range(0, 48, 2):
        runs.add(*columns([(value, 0), (value + 1, 0)]))
    assert [len(keys) for keys, _ in runs.runs] == [8] * 6
    assert runs.contains(*columns([(0, 0), (47, 0), (48, 0)])).tolist() == [True, True, False]


def test_seen_ids_are_kept_for_the_window_and_gone_some_time_after() -> None:
    ids = SeenIds()
    one, another = columns([(1, 1)]), columns([(2, 2)])
    ids.add(*one, 0)
    ids.add(*another, WINDOW_MS - 1)
    assert ids.contains(*one).tolist() == [True]
    ids.add(*another, WINDOW_MS + 2 * BUCKET_MS)
    assert ids.contains(*one).tolist() == [False]


def test_seen_conversations_are_whole_from_yesterday_on() -> None:
    seen = SeenConversations(complete_from=date(2026, 3, 1))
    seen.advance(date(2026, 3, 25))
    assert seen.complete_from == date(2026, 3, 24)
    seen.advance(date(2026, 3, 20))
    assert seen.complete_from == date(2026, 3, 24)


@pytest.mark.parametrize("number", [0, 1, 100, 100_000])
def test_filter_has_all_that_was_added_and_little_else(number: int) -> None:
    made = IdFilter.of(*drawn(number))
    assert made.may_contain(*drawn(number)).all()
    false_alarms = made.may_contain(*drawn(50_000, seed=2)).mean()
    assert false_alarms < 0.002
    assert made.size_bytes <= max(128, 4 * number)


def test_folded_filter_has_still_all_that_was_added() -> None:
    made = IdFilter.of(*drawn(10_000))
    sizes, alarms = [made.size_bytes], [0.0]
    while not made.is_smallest:
        made.fold()
        assert made.may_contain(*drawn(10_000)).all()
        sizes.append(made.size_bytes)
        alarms.append(float(made.may_contain(*drawn(5_000, seed=2)).mean()))
    assert sizes == [sizes[0] >> n for n in range(len(sizes))]
    assert alarms == sorted(alarms)


def filled(number: int, ids: int) -> Partition:
    """A partition with so many identities in each bucket of a day, and as many conversations."""
    partition = Partition(number, 0, SeenIds(), SeenConversations(complete_from=date(1970, 1, 1)))
    for bucket in range(6):
        partition.ids.add(*drawn(ids, seed=number * 100 + bucket), bucket * BUCKET_MS)
    partition.conversations.add(date(1970, 1, 2), *drawn(ids, seed=number * 100 + 50))
    return partition


def known(partition: Partition, seed: int, ids: int) -> NDArray[Any]:
    identities = drawn(ids, seed)
    return partition.ids.contains(*identities) | partition.ids.may_contain(*identities)


@pytest.mark.parametrize("share", [2.0, 0.9, 0.5, 0.2, 0.1, 0.05, 0.02])
def test_memory_stays_below_its_bound_and_forgets_nothing(share: float) -> None:
    ids = 3_000
    partitions = [filled(number, ids) for number in range(3)]
    whole = usage(partitions)
    assert (whole.identities, whole.filtered) == (3 * 7 * ids, 0)
    assert whole.size_bytes == whole.identities * BYTES_AN_IDENTITY
    bound = int(whole.size_bytes * share)
    shrink(partitions, bound)
    used = usage(partitions)
    assert used.size_bytes <= bound
    assert used.identities == whole.identities
    assert (used.filtered == 0) == (share > 1)
    for number, partition in enumerate(partitions):
        for bucket in range(6):
            assert known(partition, number * 100 + bucket, ids).all()
        talks = drawn(ids, number * 100 + 50)
        day = date(1970, 1, 2)
        seen = partition.conversations
        assert (seen.contains(day, *talks) | seen.may_contain(day, *talks)).all()


def test_what_is_newest_stays_exact_while_older_identities_can_go_into_filters() -> None:
    partition = filled(0, 3_000)
    shrink([partition], usage([partition]).size_bytes // 2)
    assert partition.ids.contains(*drawn(3_000, 5)).all()
    assert not partition.ids.contains(*drawn(3_000, 0)).any()
