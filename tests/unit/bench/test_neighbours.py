"""What the bench of neighbours calls a fault of A against B."""

from collections import Counter

import pytest

from tests.bench.neighbours.bodies import mark
from tests.bench.neighbours.kinds import KINDS
from tests.bench.neighbours.measuring import Figures
from tests.bench.neighbours.report import faults_of, table
from tests.bench.neighbours.target import Report
from tests.bench.neighbours.victim import Seen
from tests.bench.neighbours.watching import limits_mib


def figures(
    beside: Seen, peaks_mib: dict[str, float] | None = None, revoked_s: float | None = 2.0
) -> Figures:
    return Figures(
        kind="fresh",
        alone=Seen([0.6], [0.6]),
        beside=beside,
        report=Report(10.0, 1_000, {"202": 5, "503": 2, "cut": 1}, 0.5),
        peaks_mib=peaks_mib or {},
        lag_records=3.0,
        lag_gone_s=None,
        revoked_s={"query": revoked_s},
    )


@pytest.mark.parametrize("time_s", [0.9, 1.2])
def test_nothing_is_said_when_times_are_twice_as_long_or_below_a_second(time_s: float) -> None:
    assert faults_of(figures(Seen([time_s], [time_s]))) == []


def test_each_fault_is_said_when_b_is_served_worse() -> None:
    beside = Seen([1.3], [1.3], Counter({"503": 2}), unseen=1)
    limit = limits_mib()["ingest"]

    faults = faults_of(figures(beside, {"ingest": limit + 1, "query": 1}, revoked_s=None))

    assert [fault.partition(":")[0] for fault in faults] == [
        "write → visible",
        "read",
        "B was refused",
        "1 events were not counted in time",
        "ingest",
        "query takes a revoked key",
    ]


def test_table_has_a_line_for_each_kind() -> None:
    text = table([figures(Seen([1.2], [0.6]))])
    (line,) = [line for line in text.splitlines() if line.startswith("| fresh")]
    assert "0.60, 0.60 → 1.20, 1.20 | 2.0" in line
    assert line.endswith("| 3, never | 100, 2 | yes |")


def test_every_kind_says_what_it_does() -> None:
    assert all(kind.says for kind in KINDS.values())


def test_marks_differ_for_a_million_requests() -> None:
    numbers = range(0, 1_000_000, 997)
    assert len({mark(number) for number in numbers}) == len(numbers)
