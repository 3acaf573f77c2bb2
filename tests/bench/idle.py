"""What the product costs while nobody asks it anything: CPU seconds, and growth on disk.

`python -m tests.bench.idle --minutes 30` starts everything, sends and asks something once, waits
until that is counted, and then leaves it alone. It prints what each process took and what each
place has grown by, per hour and, at the same pace, in a year.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import cost_of
from tests.e2e.stack import Stack, running_stack
from tests.own_servers import running_servers

_SETTLE_S = 120.0
_HOURS_A_YEAR = 365.25 * 24
_TABLES = """
SELECT concat(database, '.', table), sum(rows), sum(bytes_on_disk)
FROM system.parts
WHERE active
GROUP BY 1
ORDER BY 1
"""


@dataclass(frozen=True)
class Look:
    """What there is at a moment: CPU seconds by process, bytes by place, rows by table."""

    at_s: float
    cpu_s: Mapping[str, float]
    disk_bytes: Mapping[str, int]
    rows: Mapping[str, int]


def look(stack: Stack, pids: Mapping[str, int], folder: Path) -> Look:
    """Look now."""
    places = {"kafka": folder / "kafka", "clickhouse": folder / "clickhouse"}
    logs = {f"log of {name}": service.log for name, service in stack.services.items()}
    return Look(
        at_s=time.monotonic(),
        cpu_s={name: cost_of(pid).cpu_s for name, pid in pids.items()},
        disk_bytes={
            **{name: _bytes_below(place) for name, place in places.items()},
            **{name: log.stat().st_size for name, log in logs.items()},
        },
        rows={name: int(rows) for name, rows, _ in stack.database.query(_TABLES).result_rows},
    )


def _bytes_below(folder: Path) -> int:
    """What a folder takes on disk: blocks, as `du` counts them."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:  # a part that was merged away meanwhile
            continue
    return total


def report(before: Look, after: Look) -> list[str]:
    """What happened between two looks, a line each."""
    hours = (after.at_s - before.at_s) / 3600
    lines = [f"idle for {hours * 60:.1f} minutes"]
    for name, cpu_s in after.cpu_s.items():
        used = cpu_s - before.cpu_s[name]
        lines.append(f"CPU of {name}: {used:.2f} s, {used / hours / 36:.2f} % of a core")
    for name, size in after.disk_bytes.items():
        grown = size - before.disk_bytes[name]
        lines.append(f"{name}: {grown:+} bytes, {_in_a_year(grown, hours) / 1e6:+.1f} MB a year")
    for name, rows in after.rows.items():
        grown = rows - before.rows.get(name, 0)
        lines.append(f"table {name}: {grown:+} rows, {_in_a_year(grown, hours):+.0f} a year")
    return lines


def _in_a_year(grown: float, hours: float) -> float:
    return grown / hours * _HOURS_A_YEAR


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="ragtime-idle-") as name:
        folder = Path(name)
        with running_servers(folder) as (servers, found), running_stack(found, folder) as stack:
            processes = {**servers, **stack.services}
            pids = {label: process.pid for label, process in processes.items()}
            _use_once(stack)
            time.sleep(min(_SETTLE_S, minutes * 60))
            before = look(stack, pids, folder)
            time.sleep(minutes * 60)
            after = look(stack, pids, folder)
            lines = [*report(before, after), *_said(stack, before)]
            sys.stdout.write("".join(f"{line}\n" for line in lines))


def _said(stack: Stack, before: Look) -> list[str]:
    """The first lines that services have logged since; there should be none."""
    new = {
        name: service.log.read_bytes()[before.disk_bytes[f"log of {name}"] :].splitlines()
        for name, service in stack.services.items()
    }
    return [f"{name}: {line.decode()}" for name, lines in new.items() for line in lines[:5]]


def _use_once(stack: Stack) -> None:
    # A stack that was never used has none of the rows and files that one in service has.
    (project,) = stack.new_projects(1)
    event = {"type": "chat.message", "role": "user", "sessionId": "s", "conversationId": "c"}
    stack.post_events(project, [event])
    stack.wait_until_counted()


if __name__ == "__main__":
    main()
