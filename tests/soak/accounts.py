"""What was sent to the gateway and what it acknowledged, and the proof that the tables agree."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from clickhouse_connect.driver.client import Client

TABLES = (
    "CREATE DATABASE soak ENGINE = Atomic",
    # No merges: each insert keeps its part, so that parts can be counted.
    """CREATE TABLE soak.events (batch UInt64, line UInt32, key String, value Int64)
       ENGINE = MergeTree ORDER BY (batch, line) SETTINGS max_parts_to_merge_at_once = 1,
       parts_to_delay_insert = 100000, parts_to_throw_insert = 100000""",
    """CREATE TABLE soak.sums (key String, value Int64)
       ENGINE = SummingMergeTree(value) ORDER BY key""",
    """CREATE MATERIALIZED VIEW soak.sums_of_events TO soak.sums AS
       SELECT key, sum(value) AS value FROM soak.events GROUP BY key""",
)
_BATCHES = """SELECT batch, count(), uniqExact(line), uniqExact(_part)
              FROM soak.events GROUP BY batch"""
_UNEQUAL_SUMS = """SELECT key, sum(value) AS difference
                   FROM (SELECT key, value FROM soak.events
                         UNION ALL SELECT key, -value FROM soak.sums)
                   GROUP BY key HAVING difference != 0"""


class Outcome(Enum):
    """What the sender of a batch knows."""

    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    NEVER_WHOLE = "never whole"  # cut or bad: it must not be there at all


@dataclass
class Accounts:
    """Every batch that was begun. Unknown until its sender says otherwise."""

    lines: dict[int, int] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def begin(self, lines: int, outcome: Outcome = Outcome.UNKNOWN) -> int:
        """The number of a new batch of so many lines."""
        batch = len(self.lines)
        self.lines[batch] = lines
        self.outcomes[batch] = outcome
        return batch

    def acknowledge(self, batch: int) -> None:
        """The gateway said that the batch is there."""
        assert self.outcomes[batch] is not Outcome.NEVER_WHOLE, f"batch {batch} was acknowledged"
        self.outcomes[batch] = Outcome.ACKNOWLEDGED

    def count(self, outcome: Outcome) -> int:
        """How many batches ended so."""
        return Counter(self.outcomes.values())[outcome]

    def check_batches(self, client: Client) -> None:
        """Each batch is there once, whole and in one part, or not at all, as its outcome asks."""
        stored = {batch: tuple(row) for batch, *row in client.query(_BATCHES).result_rows}
        for batch, counted in stored.items():
            assert counted == (self.lines[batch], self.lines[batch], 1), (batch, counted)
        for batch, outcome in self.outcomes.items():
            assert outcome is not Outcome.ACKNOWLEDGED or batch in stored, f"batch {batch} is lost"
            assert outcome is not Outcome.NEVER_WHOLE or batch not in stored, f"{batch} was cut"


def check_view(client: Client) -> None:
    """The view's sums are those of the table. Not after a kill: it may come between the two."""
    assert client.query(_UNEQUAL_SUMS).result_rows == []


def rows_of(batch: int, lines: int) -> bytes:
    """A batch as TSV."""
    return b"".join(
        b"%d\t%d\tk%d\t%d\n" % (batch, line, line % 7, batch % 5 - line % 3)
        for line in range(lines)
    )
