"""When standing still is a fault, and when it is right."""

from dataclasses import replace

from services.processor.progress import (
    AssignmentWatch,
    LeaderWatch,
    Look,
    ProgressWatch,
    TakeOverWatch,
)

LAGGING = Look(
    at_s=0.0,
    ends={0: 10},
    done={0: 5},
    clickhouse_answers=True,
    is_settled=True,
    waits=0,
    steps=0,
    owns=True,
    is_given=True,
    rebalances=1,
)
WITHOUT = replace(LAGGING, ends={}, done={}, is_settled=False, owns=False, is_given=False)


def stuck(*looks: Look) -> list[int]:
    watch = ProgressWatch(30.0)
    return [watch.stuck(look) for look in looks][-1]


def test_partition_is_stuck_when_it_lags_and_stands_still() -> None:
    assert stuck(LAGGING, replace(LAGGING, at_s=29.0)) == []
    assert stuck(LAGGING, replace(LAGGING, at_s=30.0)) == [0]


def test_partition_is_not_stuck_when_it_moves() -> None:
    assert stuck(LAGGING, replace(LAGGING, at_s=29, done={0: 6}), replace(LAGGING, at_s=40)) == []


def test_partition_is_not_stuck_when_there_is_nothing_to_do() -> None:
    idle = replace(LAGGING, done={0: 10})
    assert stuck(idle, replace(idle, at_s=1000.0)) == []


def test_time_begins_anew_when_a_server_was_away_or_partitions_moved() -> None:
    for pause in (
        replace(LAGGING, at_s=29, ends=None),
        replace(LAGGING, at_s=29, clickhouse_answers=False),
        replace(LAGGING, at_s=29, is_settled=False),
        replace(LAGGING, at_s=29, done={}),
    ):
        assert stuck(LAGGING, pause, replace(LAGGING, at_s=31), replace(LAGGING, at_s=60)) == []
        assert stuck(LAGGING, pause, replace(LAGGING, at_s=31), replace(LAGGING, at_s=61)) == [0]


def test_partition_is_not_stuck_when_what_it_waits_for_is_known() -> None:
    # ClickHouse answers, and refuses each insert: it is read-only, or its disk is full.
    refused = [replace(LAGGING, at_s=20.0 * at, waits=at) for at in range(10)]
    assert stuck(*refused) == []
    assert stuck(*refused, replace(refused[-1], at_s=210.0)) == [0]
    # An insert has failed, and the rebuild of what is remembered takes its time.
    rebuilt = [replace(LAGGING, at_s=20.0 * at, steps=at) for at in range(10)]
    assert stuck(*rebuilt) == []


def test_each_partition_is_watched_by_itself() -> None:
    two = replace(LAGGING, ends={0: 10, 1: 10}, done={0: 5, 1: 5})
    assert stuck(two, replace(two, at_s=30, done={0: 6, 1: 5})) == [1]


def is_left_out(*looks: Look) -> bool:
    watch = AssignmentWatch(600.0)
    return [watch.is_left_out(look) for look in looks][-1]


def test_process_is_left_out_when_no_rebalance_gives_it_anything() -> None:
    assert not is_left_out(WITHOUT, replace(WITHOUT, at_s=599.0))
    assert is_left_out(WITHOUT, replace(WITHOUT, at_s=600.0))


def test_process_is_left_out_when_each_take_over_is_cut_short_by_a_rebalance() -> None:
    # Two processes of one name put each other out.
    cut = [replace(WITHOUT, at_s=5.0 * n, is_given=bool(n % 2), rebalances=n) for n in range(122)]
    assert not is_left_out(*cut[:120])
    assert is_left_out(*cut)


def test_process_is_not_left_out_when_it_owns_or_waits_for_what_is_known() -> None:
    for pause in (
        replace(WITHOUT, at_s=400.0, owns=True, is_given=True),
        replace(WITHOUT, at_s=400.0, ends=None),
        replace(WITHOUT, at_s=400.0, clickhouse_answers=False),
        replace(WITHOUT, at_s=400.0, is_given=True),  # a take-over that goes on
    ):
        assert not is_left_out(WITHOUT, pause, replace(WITHOUT, at_s=990.0))
        assert is_left_out(WITHOUT, pause, replace(WITHOUT, at_s=401), replace(WITHOUT, at_s=1001))


TAKING_OVER = replace(WITHOUT, is_given=True)


def hangs(*looks: Look) -> bool:
    watch = TakeOverWatch(600.0)
    return [watch.hangs(look) for look in looks][-1]


def test_take_over_hangs_when_nothing_comes_and_it_waits_for_nothing_known() -> None:
    assert not hangs(TAKING_OVER, replace(TAKING_OVER, at_s=599.0))
    assert hangs(TAKING_OVER, replace(TAKING_OVER, at_s=600.0))


def test_take_over_hangs_when_it_stands_still_in_the_midst_of_it() -> None:
    begun = [replace(TAKING_OVER, at_s=300.0 * at, steps=at) for at in range(4)]
    assert not hangs(*begun, replace(begun[-1], at_s=1499.0))
    assert hangs(*begun, replace(begun[-1], at_s=1500.0))


def test_take_over_does_not_hang_when_it_gets_on_or_says_what_it_waits_for() -> None:
    for moved in (
        replace(TAKING_OVER, at_s=400.0, steps=1),
        replace(TAKING_OVER, at_s=400.0, waits=1),
        replace(TAKING_OVER, at_s=400.0, rebalances=2),
    ):
        assert not hangs(TAKING_OVER, moved, replace(moved, at_s=999.0))
        assert hangs(TAKING_OVER, moved, replace(moved, at_s=1000.0))
    for pause in (
        replace(TAKING_OVER, at_s=400.0, ends=None),
        replace(TAKING_OVER, at_s=400.0, clickhouse_answers=False),
        replace(TAKING_OVER, at_s=400.0, owns=True),
        replace(TAKING_OVER, at_s=400.0, is_given=False),
    ):
        assert not hangs(TAKING_OVER, pause, replace(TAKING_OVER, at_s=990.0))


LED = replace(LAGGING, epochs={0: 3})


def test_partition_is_in_doubt_at_first_and_after_a_change_of_its_leader() -> None:
    watch = LeaderWatch(1)
    assert watch.doubtful(LED) == {0: 5}
    assert watch.doubtful(LED) == {0: 5}, "nobody knew"
    watch.compared(LED, [0])
    assert watch.doubtful(LED) == {}
    later = replace(LED, epochs={0: 5})
    assert watch.doubtful(later) == {0: 5}
    watch.compared(later, [0])
    assert watch.doubtful(later) == {}


def test_partition_is_in_doubt_again_as_long_as_it_counts_what_it_read_before() -> None:
    watch = LeaderWatch(2)
    looks = [replace(LED, done={0: done}) for done in (5, 5, 6, 6, 7, 8, 9)]
    doubtful = []
    for look in looks:
        found = watch.doubtful(look)
        watch.compared(look, found)
        doubtful.append(bool(found))
    assert doubtful == [True, False, True, False, True, False, False]


def test_partition_is_in_doubt_when_it_comes_back() -> None:
    watch = LeaderWatch(1)
    watch.compared(LED, [0])
    assert watch.doubtful(replace(LED, ends={}, done={}, epochs={})) == {}
    assert watch.doubtful(LED) == {0: 5}


def test_partition_is_not_compared_when_it_is_taken_over_or_cut_or_kafka_tells_no_epoch() -> None:
    watch = LeaderWatch(1)
    assert watch.doubtful(replace(LED, owns=False)) == {}
    assert watch.doubtful(replace(LED, ends={0: 4})) == {}
    assert watch.doubtful(LAGGING) == {}
