"""Whether the processor gets on with what is there to do. Pure.

Faust was seen to stand still in silence: it owns partitions, Kafka holds records, ClickHouse
answers, and nothing happens. Only a new process helps, so the liveness probe must tell. It must not
tell so where waiting is right: nothing to do, a server away or refusing, a rebalance, a person to
decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at a moment. `at_s`: monotonic; `done`: per partition, what is finished.

    `ends` is None while Kafka does not say. `waits`: how often the process has begun to wait for
    something that it knows.
    """

    at_s: float
    ends: Mapping[int, int] | None
    done: Mapping[int, int]
    clickhouse_answers: bool
    is_settled: bool
    waits: int

    def lagging(self) -> dict[int, int]:
        """The partitions in which something should happen, and how far they are."""
        if self.ends is None or not self.clickhouse_answers or not self.is_settled:
            return {}
        return {
            number: offset for number, offset in self.done.items() if self.ends[number] > offset
        }


class ProgressWatch:
    """Remembers since when each lagging partition stands where it stands."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: dict[int, tuple[int, float]] = {}
        self._waits = 0

    def stuck(self, look: Look) -> list[int]:
        """The partitions that have stood still for too long."""
        if look.waits != self._waits:
            self._waits, self._since = look.waits, {}
        since: dict[int, tuple[int, float]] = {}
        for number, offset in look.lagging().items():
            before = self._since.get(number)
            since[number] = before if before and before[0] == offset else (offset, look.at_s)
        self._since = since
        return sorted(
            number for number, (_, at_s) in since.items() if look.at_s - at_s >= self._patience_s
        )
