"""`python -m tests.e2e.load`: many random events over HTTP, counted exactly, with first figures.

Four clients send batches of 500, 5 % of the events twice. Prints the events accepted a second, the
time from the last 202 until all is counted, and what memory and CPU time each service took; ends
with an error unless every category equals the independent count.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.measure import cost_of
from tests.e2e.model import CATEGORIES, Row, answer, source_names
from tests.e2e.random_events import DEVICES
from tests.e2e.stack import Project, Stack, running_stack
from tests.e2e.traffic import CLIENTS, Traffic, make_traffic, send_traffic
from tests.servers import servers

_COUNTED_WITHIN_S = 60.0


def run(stack: Stack, pids: dict[str, int], events: int) -> None:
    """Send, wait, compare, and say what it cost."""
    (project,) = stack.new_projects(1)
    traffic = make_traffic(seed=100, events=events)
    pids = pids | {name: service.pid for name, service in stack.services.items()}
    before = {name: cost_of(pid) for name, pid in pids.items()}
    started = time.monotonic()
    accepted = send_traffic(stack.events_url(project.id), project.live_key, traffic)
    answered = time.monotonic()
    stack.wait_until_counted(_COUNTED_WITHIN_S)
    counted = time.monotonic()
    _say(f"{accepted} events accepted ({traffic.repeated} of them repeats), {CLIENTS} clients")
    _say(f"accepted: {accepted / (answered - started):,.0f} events/s")
    _say(f"counted:  {accepted / (counted - started):,.0f} events/s end to end")
    _say(f"from the last 202 until all was counted: {counted - answered:.2f} s")
    _compare(stack, project, traffic)
    for name, pid in pids.items():
        cost = cost_of(pid)
        cpu_s = cost.cpu_s - before[name].cpu_s
        _say(f"{name:<10} peak {cost.peak_mib:6.1f} MiB, {cpu_s:6.2f} s of CPU time")


def _compare(stack: Stack, project: Project, traffic: Traffic) -> None:
    sent = traffic.sent()
    for device in (None, *DEVICES):
        expected = answer(sent, live_only=False, device=device)
        for category in CATEGORIES:
            got = stack.analytics(project, live="false", category=category, deviceId=device)
            rows: list[Row] = [row for row in expected if row["category"] == category]
            if got["stats"] != rows or got["sources"] != source_names(sent, rows):
                sys.exit(f"{category} of {device or 'all devices'} differs")
    _say(f"all {len(CATEGORIES)} categories equal the independent count, in total and by device")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Start everything on free ports, run, stop."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000, help="different events to send")
    events = parser.parse_args().events
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-load-") as folder,
        servers() as real,
        running_stack(real, Path(folder)) as stack,
    ):
        run(stack, real.pids, events)


if __name__ == "__main__":
    main()
