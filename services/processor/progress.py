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
    something that it knows; `steps`: how far its recoveries have got. `owns`: it counts, or there
    is no partition for it. `is_given`: the group has given it its partitions, and it takes them
    over or owns them; `rebalances`: how many have begun.
    """

    at_s: float
    ends: Mapping[int, int] | None
    done: Mapping[int, int]
    clickhouse_answers: bool
    is_settled: bool
    waits: int
    steps: int
    owns: bool
    is_given: bool
    rebalances: int

    @property
    def servers_answer(self) -> bool:
        return self.ends is not None and self.clickhouse_answers

    def cut(self) -> list[int]:
        """The partitions that end before what was counted from them: the topic is another one."""
        return sorted(
            number for number, end in (self.ends or {}).items() if end < self.done[number]
        )

    def lagging(self) -> dict[int, int]:
        """The partitions in which something should happen, and how far they are."""
        if self.ends is None or not self.servers_answer or not self.is_settled:
            return {}
        return {
            number: offset for number, offset in self.done.items() if self.ends[number] > offset
        }


class ProgressWatch:
    """Remembers since when each lagging partition stands where it stands."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: dict[int, tuple[int, float]] = {}
        self._moves = (0, 0)

    def stuck(self, look: Look) -> list[int]:
        """The partitions that have stood still for too long."""
        if (look.waits, look.steps) != self._moves:
            self._moves, self._since = (look.waits, look.steps), {}
        since: dict[int, tuple[int, float]] = {}
        for number, offset in look.lagging().items():
            before = self._since.get(number)
            since[number] = before if before and before[0] == offset else (offset, look.at_s)
        self._since = since
        return sorted(
            number for number, (_, at_s) in since.items() if look.at_s - at_s >= self._patience_s
        )


class AssignmentWatch:
    """Remembers since when nothing is owned though the servers answer.

    A take-over may last as long as it takes (see TakeOverWatch). But it must be one: where a
    rebalance cuts each of them short, two processes have one name, say.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since_s: float | None = None
        self._rebalances = 0

    def is_left_out(self, look: Look) -> bool:
        """Whether this process has owned nothing for too long."""
        is_same = look.rebalances == self._rebalances
        self._rebalances = look.rebalances
        if look.owns or not look.servers_answer or (look.is_given and is_same):
            self._since_s = None
            return False
        self._since_s = look.at_s if self._since_s is None else self._since_s
        return look.at_s - self._since_s >= self._patience_s


class TakeOverWatch:
    """Remembers since when a take-over stands where it stands.

    It may last as long as it takes while it gets answers, or says what it waits for. Where neither
    happens though both servers answer, it hangs in this process, and another one may not.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: tuple[tuple[int, int, int], float] | None = None

    def hangs(self, look: Look) -> bool:
        """Whether a take-over has stood still for too long."""
        if look.owns or not look.is_given or not look.servers_answer:
            self._since = None
            return False
        place = look.rebalances, look.waits, look.steps
        if self._since is None or self._since[0] != place:
            self._since = place, look.at_s
        return look.at_s - self._since[1] >= self._patience_s
