"""Whether the processor gets on with what is there to do. Pure.

Faust was seen to stand still in silence: it owns partitions, Kafka holds records, ClickHouse
answers, and nothing happens. Only a new process helps, so the liveness probe must tell. It must not
tell so where waiting is right: nothing to do, a server away or refusing, a rebalance, a person to
decide.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at a moment. `at_s`: monotonic; `done`: per partition, what is finished.

    `ends` is None while Kafka does not say. `waits`: how often the process has begun to wait for
    something that it knows; `steps`: how far its recoveries have got. `owns`: it counts, or there
    is no partition for it. `is_given`: the group has given it its partitions, and it takes them
    over or owns them; `rebalances`: how many have begun. `epochs`: of the partitions' leaders,
    where Kafka tells.
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
    epochs: Mapping[int, int] = field(default_factory=dict)

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


@dataclass(frozen=True, slots=True)
class _Compared:
    """Under which leader, and up to which offset; `left`: how often it will be compared again."""

    epoch: int
    done: int
    left: int


class LeaderWatch:
    """Remembers under which leader each partition was compared with what was counted from it.

    A log loses its end only where its leader changes, or comes back, which is a new epoch. What was
    read before that may be counted afterwards: so it is compared again at some looks, `looks`, at
    which more was counted. Then all that had been read ahead is counted.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._compared: dict[int, _Compared] = {}

    def doubtful(self, look: Look) -> dict[int, int]:
        """The partitions to compare now, and how far they are; none that is being taken over."""
        self._compared = {one: told for one, told in self._compared.items() if one in look.done}
        if not look.owns:
            return {}
        cut = look.cut()
        return {
            number: look.done[number]
            for number, epoch in look.epochs.items()
            if number not in cut and self._is_doubtful(number, epoch, look.done[number])
        }

    def _is_doubtful(self, number: int, epoch: int, done: int) -> bool:
        before = self._compared.get(number)
        if before is None or before.epoch != epoch:
            return True
        return before.left > 0 and before.done != done

    def compared(self, look: Look, numbers: Iterable[int]) -> None:
        """They are what was counted from."""
        for number in numbers:
            epoch, before = look.epochs[number], self._compared.get(number)
            is_same = before is not None and before.epoch == epoch
            left = before.left - 1 if before and is_same else self._looks
            self._compared[number] = _Compared(epoch, look.done[number], left)
