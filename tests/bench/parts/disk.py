"""What an event takes on disk, raw and in the rollups, after merges: 2 million events.

As many events a project and day as 1,000 projects have of 100 million in 90 days.
"""

from datetime import UTC, datetime

from tests.bench.bulk import Bulk, bytes_on_disk, load, merge
from tests.bench.measure import Goal, Result, Rounds
from tests.bench.tables import Tables, tables

_EVENTS, _QUICK_EVENTS = 2_000_000, 200_000
_EVENTS_A_PROJECT = 100_000
GOAL = Goal(at_most=60)


def run(*, quick: bool) -> list[Result]:
    """Bytes an event; the rounds tell them by table."""
    events = _QUICK_EVENTS if quick else _EVENTS
    with tables() as full:
        bulk = Bulk(events, events // _EVENTS_A_PROJECT, datetime.now(UTC))
        full.run(lambda client: load(client, bulk))
        full.run(merge)
        return [bytes_an_event(full, events)]


def bytes_an_event(full: Tables, events: int) -> Result:
    """The figure of tables that hold so many events."""
    sizes = {name: size / events for name, size in full.run(bytes_on_disk).items()}
    found = Rounds()
    found.add(all=sum(sizes.values()), **sizes)
    return found.figure("disk, bytes an event, raw and rollups", "all", "B", GOAL)
