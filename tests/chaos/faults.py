"""What goes wrong in a round: a list of faults that a seed decides, so that it can be had again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

SERVERS = ("kafka", "clickhouse")
PROCESSORS = ("processor-1", "processor-2", "processor-3")
SERVICES = ("ingest", "query", *PROCESSORS)

# The group's session in these tests: the shortest that Kafka allows.
SESSION_S = 6.0
_BEYOND_THE_SESSION_S = SESSION_S + 3.0
_LOAD_S = 4.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `for_s`: how long the process is away or stands still."""

    at_s: float
    kind: str
    target: str
    for_s: float

    def __str__(self) -> str:
        return f"{self.at_s:.1f} s {self.kind} {self.target} for {self.for_s:.1f} s"


def plan(seed: int, number: int) -> list[Fault]:
    """The faults of a round, each on another process, in order of time."""
    chance = random.Random(f"{seed}-{number}")
    targets = chance.choice((_targets_alone, _targets_any, _all_processors))(chance)
    return sorted((_fault(chance, target) for target in targets), key=lambda one: one.at_s)


def _targets_alone(chance: random.Random) -> list[str]:
    return [chance.choice((*SERVERS, *SERVICES, *PROCESSORS))]


def _targets_any(chance: random.Random) -> list[str]:
    return chance.sample((*SERVERS, *SERVICES), chance.randint(2, 4))


def _all_processors(chance: random.Random) -> list[str]:
    return [*PROCESSORS, chance.choice((*SERVERS, "ingest"))]


def _fault(chance: random.Random, target: str) -> Fault:
    at_s = chance.uniform(0.2, _LOAD_S)
    if target in SERVERS:
        kind = chance.choice(("kill", "kill", "freeze"))
        return Fault(at_s, kind, target, chance.choice((0.0, 1.0, 4.0)))
    kind = chance.choice(("kill", "kill", "term", "freeze"))
    if kind == "freeze":
        beyond = target in PROCESSORS and chance.random() < 0.5
        return Fault(at_s, kind, target, _BEYOND_THE_SESSION_S if beyond else 1.0)
    return Fault(at_s, kind, target, chance.choice((0.0, 0.0, 2.0)))


def steps(faults: list[Fault]) -> Iterator[tuple[float, str, Fault]]:
    """What to do when: each fault begins and ends."""
    moments = [(one.at_s, "begin", one) for one in faults]
    moments += [(one.at_s + one.for_s, "end", one) for one in faults]
    yield from sorted(moments, key=lambda moment: (moment[0], moment[1]))
