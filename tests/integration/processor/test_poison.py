"""What ClickHouse cannot read, on the real engine: it ends alone, and all else is counted."""

from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from structlog.testing import capture_logs

from libs.events.codec import encode_event, join_lines
from libs.events.record_index import entry_of, index_of
from services.processor.batch import Record
from tests.integration.processor.agents import KeptLetters, agent_of, counts, message

pytestmark = pytest.mark.integration

NOW_MS = round(datetime.now(UTC).timestamp() * 1000)

# Lines that an index vouches for, by mistake.
UNREADABLE = {
    "a field twice": b'{"type":"chat.message","id":"a","id":"b"}',
    "no JSON": b"{oops",
    "a text for a number": b'{"type":"chat.message","duration_ms":"x"}',
    "a number that is too large": b'{"type":"chat.message","duration_ms":1e400}',
    "no instant": b'{"type":"chat.message","accepted_at":"yesterday"}',
}


def vouched(*lines: bytes, offset: int, partition: int = 0) -> Record:
    """A record whose index says that each line is an event of its own."""
    value = join_lines(lines)
    entries = [entry_of(message(f"v-{partition}-{offset}-{at}")) for at in range(len(lines))]
    return Record(partition, offset, NOW_MS, value, index_of(value, entries))


def good(*names: str) -> list[bytes]:
    return [encode_event(message(name)) for name in names]


@pytest.mark.parametrize("what", UNREADABLE)
async def test_unreadable_line_is_dead_lettered_and_all_else_counted(
    clickhouse: AsyncClient, processor: AsyncClient, what: str
) -> None:
    letters = KeptLetters()
    agent = agent_of(processor, letters=letters)
    await agent.take_over({0, 1})
    with capture_logs() as lines:
        await agent.process(
            [
                vouched(*good("a", "b"), offset=0),
                vouched(*good("c"), UNREADABLE[what], *good("d"), offset=1),
                vouched(*good("e"), offset=0, partition=1),
            ]
        )
    assert (await counts(clickhouse))["_events", ""] == 5
    assert [letter.value for letter in letters.letters] == [UNREADABLE[what]]
    assert sum(line["event"] == "recovery.done" for line in lines) <= 2


@pytest.mark.parametrize(
    "fields",
    [
        {"accepted_at": "0001-01-01T00:00:00Z"},
        {"accepted_at": "9999-12-31T23:59:59.999999Z"},
        {"session_id": "\0" * 128},
        {"conversation_id": "💡" * 128, "device_id": "\u2028" * 128},
        {"id": "x" * 64},
        {"language": "zzzzzzzz", "country": "ZZ"},
    ],
    ids=str,
)
async def test_odd_values_of_a_foreign_producer_are_counted_or_dead_lettered(
    clickhouse: AsyncClient, processor: AsyncClient, fields: dict[str, str]
) -> None:
    letters = KeptLetters()
    agent = agent_of(processor, letters=letters)
    await agent.take_over({0})
    odd = encode_event(message(fields.pop("id", "odd"), **fields))
    await agent.process([Record(0, 0, NOW_MS, join_lines([*good("a"), odd, *good("b")]))])
    counted = (await counts(clickhouse))["_events", ""]
    assert counted + len(letters.letters) == 3
    assert counted >= 2


async def test_everything_is_counted_when_many_lines_of_many_records_cannot_be_read(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    letters = KeptLetters()
    agent = agent_of(processor, letters=letters)
    await agent.take_over({0, 1})
    bad = list(UNREADABLE.values())
    await agent.process(
        [
            vouched(
                *good(f"a{number}{at}"),
                *bad[: at % 3],
                *good(f"b{number}{at}"),
                offset=at,
                partition=number,
            )
            for at in range(4)
            for number in (0, 1)
        ]
    )
    assert (await counts(clickhouse))["_events", ""] == 16
    assert len(letters.letters) == 2 * (0 + 1 + 2 + 0)


async def test_events_that_clickhouse_alone_refuses_are_found_in_a_full_batch_at_once(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    await clickhouse.command(
        "ALTER TABLE events ADD COLUMN trap UInt8 DEFAULT throwIf(id = 'refused')"
    )
    letters = KeptLetters()
    agent = agent_of(processor, letters=letters)
    await agent.take_over({0})
    refused = good("refused")  # and what a producer sent twice
    records = [
        Record(
            0, at, NOW_MS, join_lines([*good(f"a{at}"), *(refused * 2 if at in (7, 300) else ())])
        )
        for at in range(400)
    ]
    with capture_logs() as lines:
        await agent.process(records)
    assert (await counts(clickhouse))["_events", ""] == 400
    places = [(letter.record.offset, letter.line) for letter in letters.letters]
    assert places == [(7, 1), (7, 2), (300, 1), (300, 2)]
    assert {letter.reason for letter in letters.letters} == {"refused_by_clickhouse"}
    # Three before its rows are looked at; none for each half of the batch.
    assert sum(line["event"] == "recovery.done" for line in lines) == 3
