"""Counters and histograms for what each request counts: the library's were a tenth of a small one.

Each is counted in by one thread, so it needs no locks; any other may ask for what it holds.
"""

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

S = TypeVar("S")


class Quick(Collector, Generic[S]):
    """A metric in a registry: series by the values of its labels."""

    def __init__(
        self, name: str, help_: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name, self._help, self._labels = name, help_, tuple(labels)
        self._series: dict[tuple[str, ...], S] = {}
        if not labels:
            self.labels()  # there from the start
        registry.register(self)

    def labels(self, *values: str) -> S:
        """The series with these values of its labels, which is there from then on."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {', '.join(self._labels)}.")
        found = self._series.get(values)
        if found is None:
            found = self._series[values] = self._new()
        return found

    def describe(self) -> list[Metric]:
        """What the library asks for when the metric is registered."""
        return [self._family([])]

    def collect(self) -> Iterator[Metric]:
        """All series, as the library's own metrics show theirs."""
        yield self._family(list(self._series.items()))

    @abstractmethod
    def _new(self) -> S:
        """A series without anything."""

    @abstractmethod
    def _family(self, series: Sequence[tuple[tuple[str, ...], S]]) -> Metric:
        """These series as the library shows them."""


class Count:
    """What has been counted."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """So many more."""
        self.value += amount


class QuickCounter(Quick[Count]):
    """Something that only grows; its name ends with `_total`."""

    def _new(self) -> Count:
        return Count()

    def _family(self, series: Sequence[tuple[tuple[str, ...], Count]]) -> Metric:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for values, count in series:
            family.add_metric(values, count.value)
        return family


class Observations:
    """How many were no more than each bound, and their sum."""

    __slots__ = ("_bounds", "numbers", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.numbers = [0] * (len(bounds) + 1)  # the last: beyond all bounds
        self.total = 0.0

    def observe(self, amount: float) -> None:
        """One more."""
        self.numbers[bisect_left(self._bounds, amount)] += 1
        self.total += amount


class QuickHistogram(Quick[Observations]):
    """How long, or how many, each time."""

    def __init__(
        self,
        name: str,
        help_: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._bounds = tuple(bounds)
        self._spelt = (*map(floatToGoString, self._bounds), "+Inf")
        super().__init__(name, help_, labels, registry)

    def _new(self) -> Observations:
        return Observations(self._bounds)

    def _family(self, series: Sequence[tuple[tuple[str, ...], Observations]]) -> Metric:
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for values, one in series:
            upto = accumulate(map(float, one.numbers))
            family.add_metric(values, list(zip(self._spelt, upto, strict=True)), one.total)
        return family
