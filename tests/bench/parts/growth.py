"""What 100 million events in the tables change: the same request at 1, 10 and 100 million.

1,000 projects over 90 days, in three databases that are asked in turn; the project that is asked
about has the same 100,000 events in each. Besides, in the largest: the request for one device,
which reads the raw events, and the disk.
"""

from contextlib import ExitStack
from datetime import UTC, datetime

from tests.bench.bulk import DEVICE, PROJECT, Bulk, load, merge
from tests.bench.measure import Goal, Result, Rounds
from tests.bench.parts.disk import bytes_an_event
from tests.bench.tables import Query, Tables, new_tables, query_above
from tests.servers import Servers, servers

_MILLIONS, _QUICK_MILLIONS = (1, 10, 100), (0.2, 0.5, 1)
_PROJECTS = 1_000
_ROUNDS, _SECONDS = 7, 4.0
_DEVICE = "device"


def run(*, quick: bool) -> list[Result]:
    """Ratios to the smallest size; milliseconds of the device; bytes an event."""
    millions = _QUICK_MILLIONS if quick else _MILLIONS
    bulks = {
        f"{size:g} million": Bulk(int(size * 1e6), _PROJECTS, datetime.now(UTC))
        for size in millions
    }
    least, *more = bulks
    most = more[-1]
    found = Rounds()
    with servers() as real, ExitStack() as closing:
        full = {size: _filled(real, bulk) for size, bulk in bulks.items()}
        above = {size: closing.enter_context(query_above(full[size], PROJECT)) for size in bulks}
        for _ in range(2 if quick else _ROUNDS):
            times = {size: _p50_ms(above[size], bulks[size], quick=quick) for size in bulks}
            times[_DEVICE] = _p50_ms(above[most], bulks[most], DEVICE, quick=quick)
            found.add(**times)
        disk = bytes_an_event(full[most], bulks[most].events)
    bound = Goal(at_most=1.2)
    growth = [found.ratio(f"analytics p50, {size} ÷ {least}", size, least, bound) for size in more]
    name = f"analytics of one device, p50 at {most}"
    return [*growth, found.figure(name, _DEVICE, "ms", Goal(at_most=300)), disk]


def _filled(real: Servers, bulk: Bulk) -> Tables:
    full = new_tables(real)
    full.run(lambda client: load(client, bulk))
    full.run(merge)
    return full


def _p50_ms(query: Query, bulk: Bulk, device: str | None = None, *, quick: bool) -> float:
    return query.ask(bulk.question(device), 1, 1.0 if quick else _SECONDS).p50_ms
