"""What counts quickly shows the same as the library's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from libs.telemetry.quick import QuickCounter, QuickHistogram

_BOUNDS = (0.001, 0.5, 1, 10)


@given(amounts=st.lists(st.sampled_from([0.0, 0.001, 0.002, 0.5, 1.0, 7.25, 10.0, 11.0])))
def test_histogram_shows_what_the_librarys_shows(amounts: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = QuickHistogram("test_seconds", "Help", ["route"], _BOUNDS, ours).labels("/a")
    usual = Histogram("test_seconds", "Help", ["route"], registry=theirs, buckets=_BOUNDS)
    usual.labels("/a")

    for amount in amounts:
        quick.observe(amount)
        usual.labels("/a").observe(amount)

    assert generate_latest(ours) == generate_latest(theirs)


def test_counter_shows_what_the_librarys_shows() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = QuickCounter("test_total", "Help", ["status"], ours)
    usual = Counter("test_total", "Help", ["status"], registry=theirs)

    for status, amount in (("202", 1), ("503", 2), ("202", 3)):
        quick.labels(status).inc(amount)
        usual.labels(status).inc(amount)

    assert generate_latest(ours) == generate_latest(theirs)


def test_series_without_labels_is_there_from_the_start() -> None:
    registry = CollectorRegistry()
    QuickHistogram("test_seconds", "Help", [], _BOUNDS, registry)

    assert b"test_seconds_count 0.0" in generate_latest(registry)


def test_labels_must_be_those_of_the_metric() -> None:
    counter = QuickCounter("test_total", "Help", ["status"], CollectorRegistry())

    with pytest.raises(ValueError, match="test_total has the labels status"):
        counter.labels()


def test_name_stands_for_one_metric() -> None:
    registry = CollectorRegistry()
    QuickCounter("test_total", "Help", [], registry)

    with pytest.raises(ValueError, match="Duplicated"):
        Counter("test_total", "Help", registry=registry)
