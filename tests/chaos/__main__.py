"""`python -m tests.chaos --rounds N --seed S`: kills at random, and counts.

Each round: producers send (and repeat themselves, by keys of both modes, under Idempotency-Keys,
and what Kafka took before the window that memory holds), faults come as the seed says, everything
is healed, and when all is read, every category is compared with an independent count, for the
project of this round and for that of the round before, of which some events were sent once more.
Then `ragtime audit`. Stops at the first difference, and leaves logs and data where they are. Beside
all that another tenant attacks, as much as its key allows.
"""

import argparse
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.chaos.attack import Attack
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.faults import Fault, plan, steps
from tests.chaos.load import Load, send
from tests.chaos.twice import Twice
from tests.e2e.model import Row, Sent, answer, source_names
from tests.e2e.random_events import DEVICES
from tests.e2e.stack import Project
from tests.e2e.traffic import Repeatedly
from tests.servers import Servers

# An attacker may have brought a minute's allowance just before.
_COUNTED_WITHIN_S = 300.0
_WHOLE_TOPIC_EACH = 20
_REQUESTS_AGAIN = 3


@dataclass(frozen=True)
class Measured:
    """The project of a round, and all that was sent to it."""

    project: Project
    load: Load
    twice: Twice

    def sent(self) -> list[Sent]:
        return self.load.sent() + self.twice.sent()


class Chaos:
    """Rounds on one cluster, and what they saw."""

    def __init__(self, cluster: Cluster, servers: Servers, seed: int) -> None:
        self._cluster = cluster
        self._servers = servers
        self._seed = seed
        self._before: Measured | None = None
        self.faults: Counter[str] = Counter()
        self.events = 0

    def round(self, number: int) -> None:
        """One round. Raises AssertionError at the first difference."""
        started = time.monotonic()
        faults = plan(self._seed, number)
        stack = self._cluster.stack
        (project,) = stack.new_projects(1)
        url, name = stack.events_url(project.id), f"r{number}"
        load = Load(url, project.live_key, name)
        measured = Measured(project, load, Twice(stack.http, url, project, name))
        measured.twice.begin_earlier(stack.topics)
        with measured.load, Repeatedly(measured.twice.step):
            self._let_happen(faults)
            self._cluster.heal(self._servers)
        self._repeat_some(number)
        stack.wait_until_counted(_COUNTED_WITHIN_S)
        for one in filter(None, (measured, self._before)):
            self._compare(one.project, one.sent())
        self._before = measured
        self._audit(whole_topic=number % _WHOLE_TOPIC_EACH == 0)
        self.faults.update(f"{fault.kind} {fault.target.partition('-')[0]}" for fault in faults)
        self.events += len(measured.sent())
        say(
            f"round {number}: {len(measured.sent())} events in {time.monotonic() - started:.0f} s; "
            + "; ".join(map(str, faults))
        )

    def _let_happen(self, faults: list[Fault]) -> None:
        started = time.monotonic()
        for at_s, kind, fault in steps(faults):
            time.sleep(max(0.0, started + at_s - time.monotonic()))
            (self._cluster.begin if kind == "begin" else self._cluster.end)(fault)

    def _repeat_some(self, number: int) -> None:
        if self._before is not None:
            chance, project = random.Random(number), self._before.project
            events = self._before.load.some(chance)
            with httpx.Client(timeout=30, trust_env=False) as http:
                send(http, self._cluster.stack.events_url(project.id), project.live_key, events)
            for _ in range(_REQUESTS_AGAIN):
                self._before.twice.repeat_one(chance)

    def _compare(self, project: Project, sent: list[Sent]) -> None:
        for device in (None, *DEVICES):
            got = self._cluster.stack.analytics(project, live="false", deviceId=device)
            expected = answer(sent, live_only=False, device=device)
            assert got["stats"] == expected, _first_difference(got["stats"], expected, project)
            assert got["sources"] == source_names(sent, expected), got["sources"]

    def _audit(self, *, whole_topic: bool) -> None:
        self._cluster.stack.ragtime("audit", *(["--every-record"] if whole_topic else []))


def _first_difference(got: Sequence[Row], expected: Sequence[Row], project: Project) -> str:
    more = [row for row in got if row not in expected][:3]
    less = [row for row in expected if row not in got][:3]
    return f"{project.id}: answered {more}, expected {less}"


def say(line: str) -> None:
    """A line for the person at the terminal, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(folder: Path, rounds: int, seed: int, *, attacked: bool = True) -> Chaos:
    """So many rounds. Raises AssertionError at the first difference."""
    with running_cluster(folder) as (cluster, servers), ExitStack() as beside:
        attack = beside.enter_context(Attack(cluster.stack)) if attacked else None
        chaos = Chaos(cluster, servers, seed)
        for number in range(1, rounds + 1):
            try:
                chaos.round(number)
                if attack is not None:
                    attack.check()
            except BaseException:
                faults = "; ".join(map(str, plan(seed, number)))
                say(f"round {number} of seed {seed} failed: {faults}; logs in {folder}")
                raise
        say(f"{rounds} rounds, {chaos.events} events, {cluster.slow_stops} slow stops: all exact")
        if attack is not None:
            say(f"  beside {attack}")
        for fault, times in sorted(chaos.faults.items()):
            say(f"  {times:4} × {fault}")
        return chaos


def main() -> int:
    """Run as the arguments say; the folder stays when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--no-attacker", action="store_true", help="nobody else is there")
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it is away as often as not
    say(f"seed {arguments.seed}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is stopped
    folder = Path(tempfile.mkdtemp(prefix="ragtime-chaos-"))
    run(folder, arguments.rounds, arguments.seed, attacked=not arguments.no_attacker)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
