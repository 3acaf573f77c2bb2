"""What a body costs ingest, honest or made to be dear: `python -m tests.bench.bodies`.

From the body as it was sent to the encoded answer, without network and Kafka, all kinds in turns.
Only ratios to an honest body of the same run count: by the KiB, and by the unit that a key's limit
counts (decision 0022): an event, or a KiB where those are more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from starlette.requests import Request

from libs.http.problems import Problem
from services.ingest.answers import answer
from services.ingest.batches import prepare_batch
from services.ingest.bodies import Received, decompress, split_events
from services.ingest.cardinality import Cardinality
from services.ingest.countries import country_by_registry
from services.ingest.enrich import Caller, Submission
from services.ingest.settings import BodySettings
from tests.bench.body_kinds import HONEST, KINDS, Body
from tests.turns import timed

_LIMITS = BodySettings()


@dataclass(slots=True)
class Cost:
    """The best of several rounds. `units`: what a key's limit counts for this body."""

    kib: int
    units: int
    us: float = float("inf")
    longest_turn_ms: float = float("inf")

    @property
    def us_a_kib(self) -> float:
        return self.us / self.kib

    @property
    def us_a_unit(self) -> float:
        return self.us / self.units


async def _handle(body: Body) -> tuple[int, int]:
    """What the route does with a body, but for Kafka; KiB and units."""
    received = Received(packed_bytes=len(body.sent))
    try:
        plain = await decompress(body.sent, body.compression, _LIMITS.max_body_bytes, received)
        received.plain_bytes = len(plain)
        events = await split_events(plain, body.media_type, _LIMITS.max_events)
    except Problem:
        return received.kib, received.kib
    batch = await prepare_batch(events, _submission())
    request = Request({"type": "http", "state": {}})
    answer(len(batch.lines), batch.rejected, batch.warnings, None, request)
    return received.kib, max(len(events), received.kib)


def _submission() -> Submission:
    return Submission(
        project_id="museum",
        may_be_live=True,
        accepted_at=datetime.now(UTC),
        caller=Caller(lambda: "127.0.0.1", "", country_by_registry),
        country_of=country_by_registry,
        cardinality=Cardinality(20_000, 1 << 24),
    )


def measure(bodies: Mapping[str, Body], rounds: int) -> dict[str, Cost]:
    """What each of these costs."""
    costs: dict[str, Cost] = {}
    for _ in range(rounds):
        for name, body in bodies.items():
            (kib, units), turns = timed(_handle(body))
            cost = costs.setdefault(name, Cost(kib, units))
            cost.us = min(cost.us, sum(turns) * 1e6)
            cost.longest_turn_ms = min(cost.longest_turn_ms, max(turns) * 1e3)
    return costs


def main() -> None:
    """Print the table, the dearest first."""
    costs = measure(KINDS, rounds=3)
    honest = costs[HONEST]
    table = Table(
        "body", "KiB", "µs a KiB", "÷ honest", "µs a unit", "÷ honest", "longest turn, ms"
    )
    for name, cost in sorted(costs.items(), key=lambda item: -item[1].us_a_unit):
        table.add_row(
            name,
            f"{cost.kib:,}",
            f"{cost.us_a_kib:.1f}",
            f"{cost.us_a_kib / honest.us_a_kib:.2f}",
            f"{cost.us_a_unit:.1f}",
            f"{cost.us_a_unit / honest.us_a_unit:.2f}",
            f"{cost.longest_turn_ms:.1f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
