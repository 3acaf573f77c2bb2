"""Duplicates on the real engine: which events are the same, for how long, in how much memory."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.models import AnyEvent
from libs.events.record_index import identity_of
from libs.telemetry import metrics
from services.processor.agent import Agent
from services.processor.memory import usage
from tests.integration.processor.agents import agent_of, counts, message
from tests.unit.services.processor.events import event, indexed_at

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def occurred(name: str, moment: datetime, **fields: Any) -> AnyEvent:
    return event(name, occurred_at=moment.isoformat(), accepted_at=NOW.isoformat(), **fields)


class Stream:
    """A partition that is written to and counted, whoever owns it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._offset = 0

    async def append(self, moment: datetime, *events: AnyEvent) -> None:
        """Kafka appends a record at this time, and it is counted."""
        record = indexed_at(*events, offset=self._offset, at=moment)
        self._offset += 1
        await self.agent.process([record])

    async def hand_over(self, agent: Agent) -> None:
        """Another process counts from now on."""
        await agent.take_over({0})
        self.agent = agent
        self._offset = agent.partitions[0].next_offset


async def stream_of(agent: Agent) -> Stream:
    await agent.take_over({0})
    return Stream(agent)


async def counted(client: AsyncClient) -> int:
    return (await counts(client)).get(("_events", ""), 0)


def lookups(kind: str) -> float:
    name = "ragtime_lookups_total"
    return metrics.PROCESSOR.registry.get_sample_value(name, {"kind": kind}) or 0.0


async def test_table_computes_the_identities_that_an_index_carries(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    stream = await stream_of(agent_of(processor))
    odd = "é\0'💡\\"
    events = [
        message("a"),
        message("a", is_live=False),
        message("b", conversation_id=odd, session_id=odd),
        event("c", "session.started", session_id=odd, occurred_at=NOW.isoformat()),
    ]
    await stream.append(NOW, *events)
    result = await clickhouse.query(
        "SELECT hex(reverse(reinterpretAsString(identity))) FROM events"
    )
    found = {str(row[0]).zfill(32).lower() for row in result.result_rows}
    assert found == {identity_of(one)[::-1].hex() for one in events}


@pytest.mark.parametrize(
    "fields", [{"project_id": "q"}, {"is_live": False}, {"conversation_id": "d"}], ids=str
)
async def test_same_id_counts_twice_when_project_mode_or_conversation_differ(
    clickhouse: AsyncClient, processor: AsyncClient, fields: dict[str, Any]
) -> None:
    stream = await stream_of(agent_of(processor))
    await stream.append(NOW, occurred("a", NOW))
    await stream.append(NOW, occurred("a", NOW, **fields))
    await stream.hand_over(agent_of(processor))
    await stream.append(NOW, occurred("a", NOW, **fields), occurred("a", NOW))
    assert await counted(clickhouse) == 2


@pytest.mark.parametrize("hours", [2, 23, 25, 30, 24 * 7, 24 * 29])
@pytest.mark.parametrize("is_handed_over", [False, True])
async def test_late_duplicate_is_known_however_long_ago_its_first_was_counted(
    clickhouse: AsyncClient, processor: AsyncClient, hours: int, *, is_handed_over: bool
) -> None:
    stream = await stream_of(agent_of(processor))
    happened = NOW - hours * HOUR - timedelta(minutes=10)
    await stream.append(happened, occurred("a", happened), occurred("b", happened))
    for ago in range(hours, 0, -max(1, hours // 5)):  # other events, so that memory moves on
        moment = NOW - ago * HOUR
        await stream.append(moment, occurred(f"later-{ago}", moment))
    before = await counted(clickhouse)
    if is_handed_over:
        await stream.hand_over(agent_of(processor))
    await stream.append(NOW, occurred("a", happened), occurred("new", happened))
    await stream.append(NOW, occurred("b", happened), occurred("new", happened))
    assert await counted(clickhouse) == before + 1


async def test_clocks_that_differ_by_an_hour_take_no_duplicate_in(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    """Appended an hour before it occurred, by the broker's clock: the first copy leaves memory."""
    stream = await stream_of(agent_of(processor))
    appended = NOW - timedelta(hours=30)
    ahead = occurred("a", appended + timedelta(minutes=59))
    await stream.append(appended, ahead)
    for hours in range(29, 0, -4):
        await stream.append(NOW - hours * HOUR, occurred(f"x-{hours}", NOW - hours * HOUR))
    await stream.hand_over(agent_of(processor))
    before = await counted(clickhouse)
    await stream.append(NOW, ahead)
    assert await counted(clickhouse) == before


async def test_kiosk_that_was_offline_for_two_days_counts_once_when_it_sends_three_times(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    stream = await stream_of(agent_of(processor))
    kept = [occurred(f"k-{n}", NOW - timedelta(hours=74) + n * HOUR) for n in range(48)]
    for moment in (NOW - 26 * HOUR, NOW - 13 * HOUR, NOW):
        await stream.append(moment, *kept)
    found = await counts(clickhouse)
    assert found["_events", ""] == 48
    assert found["conversation", "total"] == len({one.occurred_at.date() for one in kept})


async def test_many_late_events_are_answered_from_their_day_read_once(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    stream = await stream_of(agent_of(processor))
    day = NOW - timedelta(days=5)
    sent = [occurred(f"e-{n}", day, conversation_id=f"c-{n % 700}") for n in range(1_500)]
    await stream.append(NOW - timedelta(hours=40), *sent[:1_000])
    before = lookups("late"), lookups("conversation")
    await stream.append(NOW, *sent)
    assert (lookups("late"), lookups("conversation")) == before
    await stream.append(NOW, *sent, occurred("another", day, conversation_id="c-0"))
    await stream.hand_over(agent_of(processor))
    await stream.append(NOW, *sent)
    found = await counts(clickhouse)
    assert (found["_events", ""], found["conversation", "total"]) == (1_501, 700)


async def _count_before_the_window(
    stream: Stream, processor: AsyncClient, sent: Sequence[AnyEvent]
) -> None:
    """Count these so long ago that the agent which goes on does not remember them."""
    await stream.append(NOW - timedelta(hours=40), *sent)
    await stream.append(NOW, occurred("later", NOW, conversation_id="c-0"))
    await stream.hand_over(agent_of(processor))


@pytest.mark.parametrize("limit", [3_200, 1_600, 500])
async def test_late_days_are_read_in_as_many_statements_as_it_takes(
    clickhouse: AsyncClient, processor: AsyncClient, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("services.processor.lookups.MAX_EVENTS", limit)
    stream = await stream_of(agent_of(processor))
    sent = [
        occurred(f"e-{n}", NOW - timedelta(days=5 + n % 8), conversation_id=f"c-{n % 1_600}")
        for n in range(3_200)
    ]
    await _count_before_the_window(stream, processor, sent)
    before = lookups("late"), lookups("conversation")
    await stream.append(NOW, *sent, occurred("new", NOW - timedelta(days=5), conversation_id="n"))
    assert (lookups("late"), lookups("conversation")) == before
    found = await counts(clickhouse)
    assert (found["_events", ""], found["conversation", "total"]) == (3_202, 1_602)


async def test_no_more_late_days_are_read_for_a_batch_than_others_can_wait_for(
    clickhouse: AsyncClient, processor: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.processor.lookups._ROWS_A_BATCH", 800)
    stream = await stream_of(agent_of(processor))
    sent = [
        occurred(f"e-{n}", NOW - timedelta(days=5 + n % 4), conversation_id=f"c-{n % 800}")
        for n in range(1_600)
    ]
    await _count_before_the_window(stream, processor, sent)
    asked = []
    for _ in range(3):
        before = lookups("late")
        await stream.append(NOW, *sent)
        asked.append(lookups("late") - before)
    assert asked == [800, 0, 0]
    found = await counts(clickhouse)
    assert (found["_events", ""], found["conversation", "total"]) == (1_601, 801)


@pytest.mark.parametrize("limit", [0, 999])
async def test_late_events_are_asked_one_by_one_when_their_day_is_too_large_to_be_read(
    clickhouse: AsyncClient,
    processor: AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    monkeypatch.setattr("services.processor.lookups.MAX_EVENTS", limit)
    stream = await stream_of(agent_of(processor))
    day = NOW - timedelta(days=5)
    # As long as ids and conversations may be: several questions, each below a server's limits.
    sent = [
        occurred(f"{n:064}", day, conversation_id=f"{n % 1_200:04}".rjust(128, "💡"))
        for n in range(3_000)
    ]
    for some in (sent[:2_500], sent, sent):
        for part in _portions(some, 500):
            await stream.append(NOW, *part)
        await stream.hand_over(agent_of(processor))
    found = await counts(clickhouse)
    assert (found["_events", ""], found["conversation", "total"]) == (3_000, 1_200)


def _portions(events: Sequence[AnyEvent], size: int) -> list[Sequence[AnyEvent]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


async def test_counts_stay_exact_and_memory_within_its_bound_when_ids_are_too_many(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    bound = 20_000  # bytes: 1,250 identities
    stream = await stream_of(agent_of(processor, max_bytes=bound))
    sent = [
        [occurred(f"e-{hour}-{n}", NOW - hour * HOUR, conversation_id=f"c-{n}") for n in range(600)]
        for hour in range(20, 0, -2)
    ]
    asked = lookups("filtered")
    for hour, events in zip(range(20, 0, -2), sent, strict=True):
        await stream.append(NOW - hour * HOUR, *events)
        assert usage(stream.agent.partitions.values()).size_bytes <= bound
    assert usage(stream.agent.partitions.values()).filtered > 0
    before = await counts(clickhouse)
    for events in sent:
        await stream.append(NOW, *events)
    await stream.hand_over(agent_of(processor, max_bytes=bound))
    assert usage(stream.agent.partitions.values()).size_bytes <= bound
    for events in sent:
        await stream.append(NOW, *events)
    assert lookups("filtered") > asked
    assert await counts(clickhouse) == before
    assert before["_events", ""] == 6_000
