"""The audit finds each kind of damage, and none where there is none."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.codec import encode_event, join_lines
from libs.events.models import AnyEvent
from libs.events.partitions import partition_of
from libs.settings import KafkaSettings
from services.admin.audit import Difference, audit
from services.admin.topics import admin_client
from services.processor.batch import Record
from tests.integration.ingest.topics import new_topic
from tests.integration.processor.agents import agent_of, message
from tests.polling import until_answered
from tests.servers import Servers
from tests.unit.services.processor.events import event

pytestmark = pytest.mark.integration

PARTITIONS = 2
HERE = partition_of("p:c", PARTITIONS)  # where conversation `c` of project `p` goes
COPY_COUNT = (
    "INSERT INTO daily_counts"
    " SELECT DISTINCT * REPLACE ({changes}) FROM daily_counts WHERE category = 'usage'"
)
COPY = (
    "INSERT INTO events SELECT * REPLACE (now64(3) + INTERVAL 1 MINUTE AS lease{changes})"
    " FROM (SELECT * FROM events WHERE id = '{id}')"
)


@dataclass
class Counted:
    """A topic whose records were counted, and the tables."""

    client: AsyncClient
    kafka: KafkaSettings

    async def damage(self, sql: str) -> None:
        await self.client.command(sql, settings={"mutations_sync": 2})

    async def copy(self, event_id: str, **changes: str) -> None:
        """Insert a row like that of an event, with other values in some columns."""
        text = "".join(f", {value} AS {column}" for column, value in changes.items())
        await self.damage(COPY.format(id=event_id, changes=text))

    async def copy_count(self, **changes: str) -> None:
        """Insert a row like the one that counts the messages of users."""
        text = ", ".join(f"{value} AS {column}" for column, value in changes.items())
        await self.damage(COPY_COUNT.format(changes=text))

    async def differences(self, *, every_record: bool = False) -> list[Difference]:
        since = (datetime.now(UTC) - timedelta(days=35)).date()
        done = await audit(self.client, self.kafka, since, every_record=every_record)
        assert done.partitions == PARTITIONS
        return list(done.differences)

    async def only_difference(self, *, every_record: bool = False) -> Difference:
        (found,) = await self.differences(every_record=every_record)
        assert found.partition == HERE
        return found


def lines() -> list[list[AnyEvent | bytes]]:
    """Records with repeats and bad lines among the events."""
    moment = datetime.now(UTC).isoformat()
    cited = event("r", "rag.retrieval", hit=True, occurred_at=moment, accepted_at=moment,
                  sources=[{"id": "s", "name": "Guide"}])  # fmt: skip
    long_ago = (datetime.now(UTC) - timedelta(days=60)).isoformat()
    return [
        [message("a"), message("b")],
        [message("a")],
        [b"{", message("c"), b"\xff", message("b")],
        [b""],
        [message("late", occurred_at=long_ago)],
        [cited],
        [message("d")],
        [message("e")],
    ]


async def count(client: AsyncClient, kafka: KafkaSettings) -> None:
    """Write the records, and count them as the processor does."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    agent = agent_of(client, topic=kafka.events_topic, number_of_partitions=PARTITIONS)
    await agent.take_over(set(range(PARTITIONS)))
    records = []
    for line in lines():
        value = join_lines(one if isinstance(one, bytes) else encode_event(one) for one in line)
        written = await producer.send_and_wait(kafka.events_topic, value, partition=HERE)
        records.append(Record(HERE, written.offset, written.timestamp, value))
    await producer.stop()
    await agent.process(records)


@pytest.fixture
async def counted(
    real_servers: Servers, clickhouse: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Counted]:
    monkeypatch.setattr("services.admin.audit._PAUSE_S", 0.0)  # nobody inserts meanwhile
    async with new_topic(real_servers.kafka, PARTITIONS) as topic:
        kafka = KafkaSettings(bootstrap_servers=real_servers.kafka, events_topic=topic)
        await count(clickhouse, kafka)
        yield Counted(clickhouse, kafka)


@pytest.mark.parametrize("every_record", [False, True])
async def test_audit_finds_nothing_when_all_is_counted_once(
    counted: Counted, *, every_record: bool
) -> None:
    assert await counted.differences(every_record=every_record) == []


@pytest.mark.parametrize(("value", "rolled"), [(1, 6), (-1, 4)])
async def test_audit_names_the_count_when_the_rollup_holds_another(
    counted: Counted, value: int, rolled: int
) -> None:
    await counted.copy_count(value=str(value))
    found = await counted.only_difference()
    assert found.check == "counts"
    assert "category='usage', key='public', in_events=5" in found.what
    assert found.what.endswith(f"in_daily_counts={rolled}")
    assert str(found).startswith(f"partition {HERE}, counts: ")


async def test_audit_names_the_count_when_the_topic_has_no_such_partition_any_more(
    counted: Counted,
) -> None:
    await counted.copy_count(kp="9")
    (found,) = await counted.differences()
    assert (found.check, found.partition) == ("counts", 9)


async def test_audit_names_the_place_when_a_row_stands_twice(counted: Counted) -> None:
    await counted.copy("b")
    found = {one.check: one for one in await counted.differences()}
    assert set(found) == {"places", "ids"}
    place = f"topic='{counted.kafka.events_topic}', kp={HERE}, ko=0, line=1, rows=2"
    assert found["places"].what == place
    assert "id='b'" in found["ids"].what


async def test_audit_names_the_id_when_it_counts_twice_within_24_hours(counted: Counted) -> None:
    await counted.copy("b", line="7", appended_at="appended_at - INTERVAL 86399 SECOND")
    found = await counted.only_difference()
    assert found.check == "ids"
    assert "project_id='p', id='b'" in found.what


async def test_audit_finds_nothing_when_an_id_counts_again_after_24_hours(
    counted: Counted,
) -> None:
    await counted.copy("b", line="7", appended_at="appended_at - INTERVAL 86400 SECOND")
    assert await counted.differences() == []


async def test_audit_names_the_id_when_it_counts_twice_over_a_move(counted: Counted) -> None:
    await counted.copy("b", topic="'older'", kp="toUInt16(5)")
    found = await counted.only_difference()
    assert (found.check, "id='b'" in found.what) == ("ids", True)


async def test_audit_finds_nothing_when_a_conversation_goes_on_after_a_move(
    counted: Counted,
) -> None:
    # Its first message of the day came by another topic, under another number.
    await counted.damage(
        "ALTER TABLE events UPDATE topic = 'older', kp = 5, ko = 0 WHERE id IN ('a', 'b')"
    )
    await counted.damage("TRUNCATE TABLE daily_counts")
    await counted.damage(
        "INSERT INTO daily_counts SELECT project_id, is_live, count.category, date, count.key, kp,"
        " sum(count.value) FROM events ARRAY JOIN counts AS count GROUP BY ALL"
    )
    assert await counted.differences(every_record=True) == []


@pytest.mark.parametrize(
    ("conversation", "is_first", "firsts"), [("c", "true", 2), ("c-2", "false", 0)]
)
async def test_audit_names_the_conversation_when_its_day_has_not_one_first(
    counted: Counted, conversation: str, is_first: str, firsts: int
) -> None:
    await counted.copy(
        "b",
        id="'x'",
        line="7",
        conversation_id=f"'{conversation}'",
        first_of_day=f"CAST({is_first} AS Bool)",
    )
    found = await counted.only_difference()
    assert found.check == "conversations"
    assert f"conversation_id='{conversation}', firsts={firsts}" in found.what


async def test_audit_names_the_source_when_its_name_is_missing(counted: Counted) -> None:
    await counted.damage("TRUNCATE TABLE source_names")
    found = await counted.only_difference()
    assert found.check == "sources"
    assert "project_id='p', id='s'" in found.what


@pytest.mark.parametrize("every_record", [False, True])
async def test_audit_names_the_event_when_its_record_has_no_row(
    counted: Counted, *, every_record: bool
) -> None:
    await counted.damage("ALTER TABLE events DELETE WHERE id = 'd'")
    found = {one.check: one for one in await counted.differences(every_record=every_record)}
    assert set(found) == {"counts", "records"}
    assert found["records"].partition == HERE
    assert found["records"].what == "offset 6, line 0: event 'd' of 'p' is not counted"


async def test_audit_names_the_event_only_by_every_record_when_its_record_has_other_rows(
    counted: Counted,
) -> None:
    await counted.damage("ALTER TABLE events DELETE WHERE id = 'c'")
    await counted.damage(
        "INSERT INTO daily_counts SELECT DISTINCT * REPLACE (-1 AS value) FROM daily_counts"
        " WHERE category IN ('_events', 'usage') OR key = '_user_messages'"
    )
    await counted.copy("b", id="'y'", ko="2", line="3")  # another row of the record
    assert await counted.differences() == []
    found = await counted.only_difference(every_record=True)
    assert found.check == "records"
    assert found.what == "offset 2, line 1: event 'c' of 'p' is not counted"


async def write(kafka: KafkaSettings, *values: bytes, partition: int = HERE) -> None:
    """Write records that nobody counts."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    for value in values:
        await producer.send_and_wait(kafka.events_topic, value, partition=partition)
    await producer.stop()


@pytest.mark.parametrize("every_record", [False, True])
async def test_audit_names_the_event_when_it_waits_behind_all_that_is_counted(
    counted: Counted, *, every_record: bool
) -> None:
    await write(counted.kafka, encode_event(message("a")), encode_event(message("tail")))
    found = await counted.only_difference(every_record=every_record)
    assert found.check == "records"
    assert found.what == "offset 9, line 0: event 'tail' of 'p' is not counted"


@pytest.mark.parametrize("every_record", [False, True])
async def test_audit_names_the_event_when_nothing_of_its_partition_is_counted(
    counted: Counted, *, every_record: bool
) -> None:
    other = 1 - HERE
    await write(counted.kafka, encode_event(message("first")), partition=other)
    (found,) = await counted.differences(every_record=every_record)
    assert (found.check, found.partition) == ("records", other)
    assert found.what == "offset 0, line 0: event 'first' of 'p' is not counted"


@pytest.mark.parametrize("every_record", [False, True])
async def test_audit_finds_nothing_when_the_topic_ends_with_the_marker_of_a_transaction(
    counted: Counted, *, every_record: bool
) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=counted.kafka.bootstrap_servers,
        transactional_id=counted.kafka.events_topic,
    )
    await producer.start()
    async with producer.transaction():
        await producer.send(counted.kafka.events_topic, b"{", partition=HERE)
    await producer.stop()
    assert await counted.differences(every_record=every_record) == []


@pytest.mark.parametrize("every_record", [False, True])
async def test_audit_ends_with_the_topic_when_that_was_cut_short(
    counted: Counted, *, every_record: bool
) -> None:
    name = counted.kafka.events_topic
    # Offsets that a look at each one would not come to the end of.
    await counted.damage("ALTER TABLE events UPDATE ko = ko + 100000000 WHERE true")
    await write(counted.kafka, encode_event(message("after")))
    found = {one.check: one for one in await counted.differences(every_record=every_record)}
    assert set(found) - {"sources"} == {"log", "records"}  # whose names follow the places
    last = 100000007
    assert found["log"].what == f"{name}/{HERE} ends before offset 9, and offset {last} was counted"
    assert found["records"].what == "offset 8, line 0: event 'after' of 'p' is not counted"


async def make_anew(kafka: KafkaSettings) -> None:
    """Delete the topic, and make one of its name as soon as Kafka has done it."""
    async with admin_client(kafka) as admin:
        await admin.delete_topics([kafka.events_topic])
        new = NewTopic(
            kafka.events_topic,
            PARTITIONS,
            1,
            topic_configs={"message.timestamp.type": "LogAppendTime"},
        )

        async def is_made() -> bool:
            ((_, code, *_),) = (await admin.create_topics([new])).topic_errors
            return bool(code == 0)

        await until_answered(is_made)


async def test_audit_takes_no_row_for_that_of_another_record_at_its_offset(
    counted: Counted,
) -> None:
    await make_anew(counted.kafka)
    again = encode_event(message("a"))
    await write(counted.kafka, *[again] * 3, encode_event(message("after")), *[again] * 6)
    found = {one.check: one for one in await counted.differences()}
    assert set(found) == {"log", "records"}
    name = counted.kafka.events_topic
    assert found["log"].what == f"{name}/{HERE} holds another record at offset 7"
    assert found["records"].what == "offset 3, line 0: event 'after' of 'p' is not counted"


async def test_audit_says_so_when_the_topic_is_not_there(counted: Counted) -> None:
    gone = counted.kafka.model_copy(update={"events_topic": "no-such-topic"})
    with pytest.raises(UnknownTopicOrPartitionError, match="no-such-topic is not in Kafka"):
        await audit(counted.client, gone, datetime.now(UTC).date(), every_record=False)
