"""What the tests of the agent share: agents on the real engine, without Kafka, and the counts."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.events.models import AnyEvent
from services.processor.agent import Agent, Table
from services.processor.batch import DeadLetter
from services.processor.dead_letters import DeadLetters, Pause
from services.processor.late_days import LateDays
from services.processor.lookups import Lookups
from services.processor.ownership import Ownership
from services.processor.recovery import Recovery, utc_now
from services.processor.writer import Writer
from tests.fakes_kafka import FakeTopic
from tests.unit.services.processor.events import event

TOPIC = "events"
LEASE_S = 0.4


class KeptLetters(DeadLetters):
    """Keeps dead letters in a list instead of a topic."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def counted(self, events: int) -> None:
        """There is no limit."""

    async def send(self, letters: list[DeadLetter], _pause: Pause) -> None:
        self.letters += letters


class Failing(Writer):
    """Raises these errors, one an insert, before or after it has written; then it only writes."""

    def __init__(self, client: AsyncClient, errors: Iterable[Error | None], *, after: bool) -> None:
        super().__init__(client)
        self._errors = list(errors)
        self._after = after

    async def insert(self, rows: Iterable[bytes], partitions: Iterable[int]) -> None:
        error = self._errors.pop(0) if self._errors else None
        if error is None or self._after:
            await super().insert(rows, partitions)
        if error is not None:
            raise error


class Group:
    """A consumer group's coordinator: confirms members until one is told to have lost."""

    def __init__(self) -> None:
        self.is_wanted = True
        self.asked: list[dict[int, int]] = []

    async def confirm(self, offsets: Mapping[int, int]) -> bool:
        self.asked.append(dict(offsets))
        return True


def ownership_of(group: Group) -> Ownership:
    return Ownership(LEASE_S, group.confirm, lambda: group.is_wanted, time.monotonic, asyncio.sleep)


def agent_of(
    client: AsyncClient,
    writer: Writer | None = None,
    *,
    topic: str = TOPIC,
    number_of_partitions: int = 2,
    kafka_holds_from: int = 0,
    letters: DeadLetters | None = None,
    ownership: Ownership | None = None,
    max_bytes: int = 1 << 28,
) -> Agent:
    own = ownership or ownership_of(Group())
    recovery = Recovery(client, topic, own, utc_now)
    lookups = Lookups(client, topic, LateDays(max_bytes // 8))
    recovery.rebuild.number_of_partitions = lookups.number_of_partitions = number_of_partitions
    return Agent(
        FakeTopic(kafka_holds_from, topic),
        Table(writer or Writer(client), recovery, lookups),
        letters or KeptLetters(),
        own,
        max_bytes,
    )


def message(event_id: str, **fields: Any) -> AnyEvent:
    """A message of now; of conversation `c` unless told."""
    moment = datetime.now(UTC).isoformat()
    return event(event_id, **({"occurred_at": moment, "accepted_at": moment} | fields))


async def counts(client: AsyncClient) -> dict[tuple[str, str], int]:
    """All that the rollup holds, by category and key."""
    result = await client.query(
        "SELECT category, key, sum(value) FROM daily_counts GROUP BY category, key"
    )
    return {(category, key): value for category, key, value in result.result_rows}
