"""States in which nothing, or not everything, is counted: how each comes about, and its cure.

A cure is what the documents say. `alerts`: one of them has to fire; a state in which a process ends
by itself is told by its end as well. `doctor`: a check that is not well then, and a part of what it
says.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.e2e.processes import Service
from tests.e2e.topics import Topics
from tests.e2e.waiting import wait_until
from tests.states.world import World

_INSTANCE = "processor-0"
_SESSION_S = 120
_NAMED = {"RAGTIME_GROUP__INSTANCE": _INSTANCE}
_ABSENT = frozenset({"RagtimeServiceAbsent", "RagtimeProcessDown"})


@dataclass(frozen=True)
class State:
    """See above. `ends`: the service that ends by itself; `settings`: of all, from the start."""

    name: str
    make: Callable[[World], None]
    cure: Callable[[World], None]
    alerts: frozenset[str]
    doctor: tuple[str, str]
    ends: str = ""
    has_own_servers: bool = False
    remains: str = ""  # what the doctor goes on telling of after the cure
    settings: Mapping[str, str] = field(default_factory=dict)


def _kill(name: str) -> Callable[[World], None]:
    return lambda world: world.stack.services[name].kill()


def _start(name: str) -> Callable[[World], None]:
    def start(world: World) -> None:
        world.stack.services[name].start()
        world.stack.services[name].wait_until_ready(180)

    return start


def _server(name: str, what: str) -> Callable[[World], None]:
    return lambda world: getattr(world.servers[name], what)()


def _counted_and_paused(world: World) -> None:
    assert world.wait_until_counted(120)


def _make_topic_anew(world: World) -> None:
    _counted_and_paused(world)
    world.processor.stop()
    world.topics.delete()
    wait_until(lambda: _is_made(world.topics), "the topic is made anew", 60)
    world.processor.start()
    world.producer.go_on()


def _make_topic_anew_under_the_processor(world: World) -> None:
    _counted_and_paused(world)
    world.topics.delete()
    wait_until(lambda: _is_made(world.topics), "the topic is made anew", 60)
    world.producer.go_on()


def _is_made(topics: Topics) -> bool:
    try:
        topics.make()
    except Exception:  # noqa: BLE001 - it is still being deleted
        return False
    return True


def _move(world: World) -> None:
    """As *A topic that is another* says, with the older topic carried over."""
    world.producer.pause()
    old = world.topics.events
    world.stack.services["ingest"].stop()
    world.processor.kill()
    world.set(
        RAGTIME_KAFKA__EVENTS_TOPIC=f"{old}-2",
        RAGTIME_KAFKA__DEAD_LETTER_TOPIC=f"{old}-2.dead-letter",
    )
    world.ragtime("init")
    for name in ("ingest", "processor"):
        _start(name)(world)
    wait_until(lambda: _is_adopted(world, old), "the older topic is carried over", 120)


def _is_adopted(world: World, old: str) -> bool:
    try:
        world.ragtime("topics", "adopt", old, "--apply")
    except AssertionError:  # a member that was killed is one until its session ends
        return False
    return True


def _delete_topic(world: World) -> None:
    _counted_and_paused(world)
    world.topics.delete()
    world.producer.go_on()


def _init_anew(world: World) -> None:
    world.processor.kill()
    wait_until(lambda: _is_initialised(world), "`ragtime init --anew`", 120)
    _start("processor")(world)


def _is_initialised(world: World) -> bool:
    try:
        world.ragtime("init", "--anew")
    except AssertionError:
        return False
    return True


def _add_partitions(world: World) -> None:
    async def add() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=world.topics.bootstrap_servers)
        await admin.start()
        await admin.create_partitions({world.topics.events: NewPartitions(7)})
        await admin.close()

    asyncio.run(add())
    world.stack.services["processor"].kill()
    world.stack.services["processor"].start()


def _start_twin(world: World) -> None:
    twin = Service("processor", dict(world.processor.environment), world.folder / "twin.log")
    twin.start()
    world.more.append(twin)
    world.prometheus.watch([*world.stack.services.values(), twin])


def _stop_twin(world: World) -> None:
    for twin in world.more:
        twin.kill()
    world.prometheus.watch([*world.stack.services.values()])
    world.more.clear()
    world.processor.kill()
    _start("processor")(world)


def _let_another_topic_hold_the_name(world: World) -> None:
    world.processor.stop()
    world.set(**_NAMED, RAGTIME_GROUP__SESSION_TIMEOUT_S=str(_SESSION_S))
    other = replace(world.topics, events=f"{world.topics.events}-other")
    other.make()
    asyncio.run(_join_and_go(other, f"{_INSTANCE}.{world.topics.events}"))
    world.processor.start()


async def _join_and_go(topics: Topics, instance_id: str) -> None:
    consumer = AIOKafkaConsumer(
        topics.events,
        bootstrap_servers=topics.bootstrap_servers,
        group_id=topics.group,
        group_instance_id=instance_id,
        session_timeout_ms=_SESSION_S * 1000,
        enable_auto_commit=False,
    )
    await consumer.start()
    async with asyncio.timeout(180):
        while not consumer.assignment():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await consumer.stop()


def _start_after_the_session(world: World) -> None:
    """Sooner, the member of that name would be kept, with what it was given."""
    time.sleep(_SESSION_S)
    _start("processor")(world)


def _sql(*statements: str) -> Callable[[World], None]:
    def run(world: World) -> None:
        for statement in statements:
            world.stack.database.command(statement)

    return run


def _write_what_is_no_event(world: World) -> None:
    world.topics.write([b"\n".join([b"no event"] * 50)])


def _raise_limit(world: World) -> None:
    world.processor.kill()
    world.set(RAGTIME_DEAD_LETTERS__LIMIT="0")
    _start("processor")(world)


def _forget_migration(world: World) -> None:
    world.stack.database.command(
        "ALTER TABLE migrations DELETE WHERE number = (SELECT max(number) FROM migrations)"
        " SETTINGS mutations_sync = 2"
    )
    for name in ("query", "processor"):
        world.stack.services[name].kill()
        world.stack.services[name].start()


def _migrate(world: World) -> None:
    world.ragtime("migrate")


STATES = (
    State("ingest is gone", _kill("ingest"), _start("ingest"), _ABSENT, ("services", "no answer")),
    State("query is gone", _kill("query"), _start("query"), _ABSENT, ("services", "no answer")),
    State(
        "the processor is gone",
        _kill("processor"),
        _start("processor"),
        _ABSENT | {"RagtimeNothingCounted"},
        ("services", "no answer"),
    ),
    State(
        "two processors have one name",
        _start_twin,
        _stop_twin,
        frozenset({"RagtimePartitionsNotReady", "RagtimeProcessDown"}),
        ("services", "is not well"),
        settings=_NAMED,
    ),
    State(
        "Kafka holds another topic's partitions for the name",
        _let_another_topic_hold_the_name,
        _start_after_the_session,
        _ABSENT,
        ("services", ""),
        ends="processor",
    ),
    State(
        "the topic was made anew while the processor was stopped",
        _make_topic_anew,
        _move,
        frozenset({"RagtimeTopicMismatch"}),
        ("topics", "holds another record|ends before offset"),
        remains="clocks",
    ),
    State(
        "the topic was made anew under the processor",
        _make_topic_anew_under_the_processor,
        _move,
        frozenset({"RagtimeTopicMismatch"}) | _ABSENT,
        ("topics", "holds another record|ends before offset"),
        remains="clocks",
        ends="processor",
    ),
    State(
        "the topic is gone",
        _delete_topic,
        _init_anew,
        frozenset({"RagtimePublishFailures", "RagtimeKafkaAway", "RagtimeTopicMismatch"}) | _ABSENT,
        ("topics", "Events were counted from it"),
    ),
    State(
        "the topic has more partitions",
        _add_partitions,
        _move,
        frozenset({"RagtimeTopicMismatch", "RagtimePartitionsNotReady"}),
        ("topics", "nothing is counted"),
        remains="clocks",
    ),
    State(
        "a table is gone",
        _sql("DETACH TABLE events"),
        _sql("ATTACH TABLE events"),
        frozenset({"RagtimeOperatorNeeded"}),
        ("migrations", "not there: .*events"),
    ),
    State(
        "ClickHouse takes no more parts",
        _sql("ALTER TABLE events MODIFY SETTING parts_to_throw_insert = 1"),
        _sql("ALTER TABLE events RESET SETTING parts_to_throw_insert"),
        # Its answer does not tell whether rows of it arrived: the processor looks, each time.
        frozenset({"RagtimeRecoveryLoop"}),
        ("lag", "standing still"),
    ),
    State(
        "the dead letters are held",
        _write_what_is_no_event,
        _raise_limit,
        frozenset({"RagtimeDeadLettersHeld"}),
        ("services", "dead_letters is not well"),
        remains="dead-letters",
        settings={"RAGTIME_DEAD_LETTERS__LIMIT": "10"},
    ),
    State(
        "a migration is missing",
        _forget_migration,
        _migrate,
        frozenset({"RagtimeMigrationsWaiting"}),
        ("migrations", "missing|waiting"),
    ),
    State(
        "Kafka is killed",
        _server("kafka", "kill"),
        _server("kafka", "start"),
        frozenset({"RagtimeKafkaAway"}),
        ("kafka", ""),
        has_own_servers=True,
    ),
    State(
        "Kafka stands still",
        _server("kafka", "freeze"),
        _server("kafka", "thaw"),
        frozenset({"RagtimeKafkaAway"}),
        ("kafka", ""),
        has_own_servers=True,
    ),
    State(
        "ClickHouse is killed",
        _server("clickhouse", "kill"),
        _server("clickhouse", "start"),
        frozenset({"RagtimeClickHouseAway"}),
        ("clickhouse", ""),
        has_own_servers=True,
    ),
    State(
        "ClickHouse stands still",
        _server("clickhouse", "freeze"),
        _server("clickhouse", "thaw"),
        frozenset({"RagtimeClickHouseAway"}),
        ("clickhouse", ""),
        has_own_servers=True,
    ),
)
