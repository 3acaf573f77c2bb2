"""What a measurement is made of: CPU time and memory of processes, rounds, medians and goals.

On a noisy machine only ratios within one run mean anything: what is compared runs in turn, round
after round, and the median of the rounds' ratios is the figure.
"""

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What a process took so far."""

    peak_mib: float
    cpu_s: float


def cost_of(pid: int) -> Cost:
    """Peak memory (VmHWM) and CPU seconds of a process with all its threads, from /proc."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    peak_kib = next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]
    stat = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return Cost(int(peak_kib) / 1024, (int(stat[11]) + int(stat[12])) / _TICKS_A_SECOND)


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds that these processes took so far, together."""
    return sum(cost_of(pid).cpu_s for pid in pids)


@dataclass(frozen=True)
class Goal:
    """A bound that a value must keep: one of the two."""

    at_most: float | None = None
    at_least: float | None = None

    def is_met(self, value: float) -> bool:
        """Whether the value keeps it."""
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def missed_by(self, value: float) -> float:
        """How far the value is on the wrong side, as a share of the bound; 0 where it is met."""
        if self.is_met(value):
            return 0.0
        bound = self.at_least if self.at_most is None else self.at_most
        return abs(value - bound) / abs(bound) if bound else float("inf")

    def __str__(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


Round = dict[str, float]


@dataclass(frozen=True)
class Result:
    """A line of the table. `value` is the median over `rounds`, which hold the raw figures.

    `spread`: the least and the greatest value of a round. `is_ratio`: whether it may be compared
    with another run's. `goal` None: a figure for the reader alone.
    """

    name: str
    value: float
    unit: str
    goal: Goal | None
    rounds: Sequence[Round]
    spread: tuple[float, float]
    is_ratio: bool = True
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        return None if self.goal is None else self.goal.is_met(self.value)


@dataclass
class Rounds:
    """Raw figures of one part, round by round."""

    rounds: list[Round] = field(default_factory=list)

    def add(self, **figures: float) -> None:
        """The figures of one round."""
        self.rounds.append(figures)

    def ratio(self, name: str, over: str, under: str, goal: Goal | None, note: str = "") -> Result:
        """The median of the rounds' ratios of two figures."""
        ratios = [figures[over] / figures[under] for figures in self.rounds]
        return self._result(name, ratios, "×", goal, note=note)

    def figure(
        self, name: str, figure: str, unit: str, goal: Goal | None = None, note: str = ""
    ) -> Result:
        """The median of one figure of the rounds, absolute: it depends on the machine."""
        values = [figures[figure] for figures in self.rounds]
        return self._result(name, values, unit, goal, is_ratio=False, note=note)

    def _result(
        self,
        name: str,
        values: Sequence[float],
        unit: str,
        goal: Goal | None,
        *,
        is_ratio: bool = True,
        note: str,
    ) -> Result:
        return Result(
            name=name,
            value=statistics.median(values),
            unit=unit,
            goal=goal,
            rounds=self.rounds,
            spread=(min(values), max(values)),
            is_ratio=is_ratio,
            note=note,
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed: 0.5 is the median."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
