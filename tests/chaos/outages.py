"""`python -m tests.chaos.outages --seconds 300`: ClickHouse away under load, then Kafka.

Says how far the count fell behind, how quickly it caught up against the rate of arrival, what
memory each process took at most, and ends with an error unless every category equals the
independent count.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.measure import cost_of
from tests.chaos.__main__ import say
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.load import Load
from tests.e2e.model import answer
from tests.e2e.waiting import wait_until
from tests.servers import Servers

_WARM_UP_S = 15.0
_CAUGHT_UP_WITHIN_S = 900.0


class Outages:
    """Both outages on one cluster, under one load."""

    def __init__(self, cluster: Cluster, servers: Servers, load: Load) -> None:
        self._cluster = cluster
        self._servers = servers
        self._load = load

    def clickhouse(self, seconds: float) -> None:
        """Away: nothing is counted, everything is accepted; back: it is caught up with."""
        started, before = time.monotonic(), self._accepted()
        rate = self._rate(_WARM_UP_S)
        self._away("clickhouse", seconds)
        behind = self._accepted() - self._counted_patiently()
        back = time.monotonic()
        counted = self._counted_patiently()
        wait_until(self._is_caught_up, "the count has caught up", _CAUGHT_UP_WITHIN_S)
        took_s = time.monotonic() - back
        drained = (self._counted_patiently() - counted) / took_s
        arrived = (self._accepted() - before) / (time.monotonic() - started)
        say(f"ClickHouse away for {seconds:g} s: {behind} events behind at its return")
        say(
            f"  caught up in {took_s:.1f} s: {drained:,.0f} events/s counted,"
            f" {arrived:,.0f} events/s arrived ({rate:,.0f} before): {drained / arrived:.1f} ×"
        )

    def kafka(self, seconds: float) -> None:
        """Away: nothing is accepted; back: what is sent again is."""
        before = self._accepted()
        self._away("kafka", seconds)
        during = self._accepted() - before
        back, at_return = time.monotonic(), self._accepted()
        wait_until(lambda: self._accepted() > at_return, "events are accepted", 120)
        took_s = time.monotonic() - back
        say(f"Kafka away for {seconds:g} s: {during} events accepted meanwhile (at its very end)")
        say(f"  accepted again {took_s:.1f} s after it was started")
        wait_until(self._is_caught_up, "the count has caught up", _CAUGHT_UP_WITHIN_S)

    def _away(self, name: str, seconds: float) -> None:
        process = self._cluster.servers[name]
        process.kill()
        time.sleep(seconds)
        process.start()

    def _rate(self, seconds: float) -> float:
        before = self._accepted()
        time.sleep(seconds)
        return (self._accepted() - before) / seconds

    def _accepted(self) -> int:
        return self._load.accepted

    def _counted_patiently(self) -> int:
        counted = -1

        def is_answered() -> bool:
            nonlocal counted
            try:
                counted = self._counted()
            except Exception:  # noqa: BLE001 - it has just been started
                return False
            return True

        wait_until(is_answered, "ClickHouse answers", 120)
        return counted

    def _counted(self) -> int:
        sql = "SELECT sum(value) FROM daily_counts WHERE category = '_events'"
        return int(str(self._cluster.stack.database.command(sql)))

    def _is_caught_up(self) -> bool:
        # Up to what one batch of each client may bring meanwhile.
        return self._accepted() - self._counted_patiently() < 300

    def memory(self) -> None:
        """What each process took at most."""
        processes = {**self._cluster.servers, **self._cluster.stack.services}
        for name, process in processes.items():
            cost = cost_of(process.pid)
            say(f"  {name:<12} peak {cost.peak_mib:6.1f} MiB, {cost.cpu_s:6.1f} s of CPU time")


def run(folder: Path, seconds: float) -> None:
    """Both outages, then the comparison."""
    with running_cluster(folder) as (cluster, servers):
        stack = cluster.stack
        (project,) = stack.new_projects(1)
        url = stack.events_url(project.id)
        load = Load(url, project.live_key, "outage", patience_s=seconds + 300)
        outages = Outages(cluster, servers, load)
        with load:
            outages.clickhouse(seconds)
            outages.kafka(seconds)
        cluster.heal(servers)
        outages.memory()
        stack.wait_until_counted(_CAUGHT_UP_WITHIN_S)
        got = stack.analytics(project, live="false")["stats"]
        if got != answer(load.sent(), live_only=False):
            sys.exit("the counts differ from the independent count")
        stack.ragtime("audit")
        say(f"{len(load.sent())} events: every category is exact, the audit finds no difference")


def main() -> int:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    seconds = parser.parse_args().seconds
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="ragtime-outages-"))
    run(folder, seconds)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
