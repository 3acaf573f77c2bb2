"""Groups of metrics: each service shows the groups that are its own, and nothing of the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from libs.telemetry.quick import QuickCounter, QuickHistogram

# A label's values; a text where they are known later only, which says what bounds them.
Values = Iterable[str] | str

M = TypeVar("M", Counter, Gauge, Histogram, QuickCounter, QuickHistogram)


@dataclass(frozen=True, slots=True)
class Declared:
    """What tests and documents know of a metric. `series`: the names of its samples."""

    name: str
    kind: str
    help: str
    services: tuple[str, ...]
    labels: Mapping[str, Sequence[str] | str]

    @property
    def series(self) -> tuple[str, ...]:
        """The names by which it is asked for."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


class Group:
    """The metrics that these services have.

    What is counted has its series from the start, at zero, where the values of labels are known: if
    a series appeared with its first event, no increase would ever show that one. A gauge's would
    say 0 of what nobody has looked at yet.
    """

    def __init__(self, *services: str) -> None:
        self.services = services
        self.registry = CollectorRegistry()
        self.declared: list[Declared] = []

    def counter(self, name: str, help_: str, **labels: Values) -> Counter:
        """Something that only grows; `name` ends with `_total`."""
        metric = Counter(name, help_, labels, registry=self.registry)
        return _begun(self._declare(metric, name, labels), labels)

    def gauge(self, name: str, help_: str, **labels: Values) -> Gauge:
        """Something that goes up and down."""
        return self._declare(Gauge(name, help_, labels, registry=self.registry), name, labels)

    def histogram(
        self, name: str, help_: str, buckets: Sequence[float], **labels: Values
    ) -> Histogram:
        """How long, or how many, each time."""
        metric = Histogram(name, help_, labels, registry=self.registry, buckets=buckets)
        return _begun(self._declare(metric, name, labels), labels)

    def quick_counter(self, name: str, help_: str, **labels: Values) -> QuickCounter:
        """A counter of what each request counts, always in the same thread."""
        metric = QuickCounter(name, help_, tuple(labels), self.registry)
        return _begun(self._declare(metric, name, labels), labels)

    def quick_histogram(
        self, name: str, help_: str, buckets: Sequence[float], **labels: Values
    ) -> QuickHistogram:
        """A histogram of what each request observes, always in the same thread."""
        metric = QuickHistogram(name, help_, tuple(labels), buckets, self.registry)
        return _begun(self._declare(metric, name, labels), labels)

    def _declare(self, metric: M, name: str, labels: Mapping[str, Values]) -> M:
        (described,) = metric.describe()
        known = {
            label: values if isinstance(values, str) else tuple(values)
            for label, values in labels.items()
        }
        self.declared.append(
            Declared(name, described.type, described.documentation, self.services, known)
        )
        return metric


def _begun(metric: M, labels: Mapping[str, Values]) -> M:
    """With all its series, where they are known."""
    closed = [values for values in labels.values() if not isinstance(values, str)]
    if labels and len(closed) == len(labels):
        for combination in product(*closed):
            metric.labels(*combination)
    return metric


class Shown(Collector):
    """What a service shows: its groups, and what the library tells of the process."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._registries = (REGISTRY, *(group.registry for group in groups))

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        for registry in self._registries:
            yield from registry.collect()
