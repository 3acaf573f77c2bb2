"""How states come about, and how they are cured: as the documents say."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.e2e.processes import Service, try_command
from tests.e2e.topics import Topics
from tests.e2e.waiting import wait_until
from tests.own_servers import tear_log
from tests.states.world import World

_INSTANCE = "processor-0"
_SESSION_S = 120
NAMED = {"RAGTIME_GROUP__INSTANCE": _INSTANCE}


def kill(name: str) -> Callable[[World], None]:
    return lambda world: world.stack.services[name].kill()


def start(name: str) -> Callable[[World], None]:
    def start(world: World) -> None:
        world.stack.services[name].start()
        world.stack.services[name].wait_until_ready(180)

    return start


def server(name: str, what: str) -> Callable[[World], None]:
    return lambda world: getattr(world.servers[name], what)()


def _counted_and_paused(world: World) -> None:
    assert world.wait_until_counted(120)


def make_topic_anew(world: World) -> None:
    _counted_and_paused(world)
    world.processor.stop()
    _replace_topic(world)
    world.processor.start()
    world.producer.go_on()


def make_topic_anew_under_the_processor(world: World) -> None:
    _counted_and_paused(world)
    _replace_topic(world)
    world.producer.go_on()


def _replace_topic(world: World) -> None:
    world.topics.delete()
    wait_until(lambda: _is_made(world.topics), "the topic is made anew", 60)


def _is_made(topics: Topics) -> bool:
    try:
        topics.make()
    except Exception:  # noqa: BLE001 - it is still being deleted
        return False
    return True


def tear(world: World) -> None:
    """Nobody writes until the processor has seen it; for what takes the place of a lost record
    sooner see tests/e2e/test_torn_log.py.
    """
    _counted_and_paused(world)
    world.servers["kafka"].kill()
    tear_log(world.folder, world.topics.events)
    world.servers["kafka"].start()
    wait_until(lambda: not world.processor.is_running, "the processor has seen it", 120)
    world.producer.go_on()


def move(world: World) -> None:
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
        start(name)(world)
    wait_until(
        lambda: _succeeds(world, "topics", "adopt", old, "--apply"),
        "the older topic is carried over",
        120,
    )


def _succeeds(world: World, *arguments: str) -> bool:
    """Not yet while a processor that was killed is a member: it is one until its session ends."""
    return try_command(world.stack.environment, *arguments).code == 0


def delete_topic(world: World) -> None:
    _counted_and_paused(world)
    world.topics.delete()
    world.producer.go_on()


def init_anew(world: World) -> None:
    world.processor.kill()
    wait_until(lambda: _succeeds(world, "init", "--anew"), "`ragtime init --anew`", 120)
    start("processor")(world)


def add_partitions(world: World) -> None:
    async def add() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=world.topics.bootstrap_servers)
        await admin.start()
        await admin.create_partitions({world.topics.events: NewPartitions(7)})
        await admin.close()

    asyncio.run(add())
    world.processor.kill()
    world.processor.start()


def start_twin(world: World) -> None:
    twin = Service("processor", dict(world.processor.environment), world.folder / "twin.log")
    twin.start()
    world.more.append(twin)
    world.prometheus.watch([*world.stack.services.values(), twin])


def stop_twin(world: World) -> None:
    for twin in world.more:
        twin.kill()
    world.prometheus.watch([*world.stack.services.values()])
    world.more.clear()
    world.processor.kill()
    start("processor")(world)


def let_another_topic_hold_the_name(world: World) -> None:
    world.processor.stop()
    world.set(**NAMED, RAGTIME_GROUP__SESSION_TIMEOUT_S=str(_SESSION_S))
    other = replace(world.topics, events=f"{world.topics.events}-other")
    other.make()
    other.join_and_go(f"{_INSTANCE}.{world.topics.events}", _SESSION_S)
    world.processor.start()


def start_after_the_session(world: World) -> None:
    """Sooner, the member of that name would be kept, with what it was given."""
    time.sleep(_SESSION_S)
    start("processor")(world)


def ragtime(*arguments: str) -> Callable[[World], None]:
    def run(world: World) -> None:
        world.ragtime(*arguments)

    return run


def sql(*statements: str) -> Callable[[World], None]:
    def run(world: World) -> None:
        for statement in statements:
            world.stack.database.command(statement)

    return run


def write_what_is_no_event(world: World) -> None:
    world.topics.write([b"\n".join([b"no event"] * 50)])


def raise_limit(world: World) -> None:
    world.processor.kill()
    world.set(RAGTIME_DEAD_LETTERS__LIMIT="0")
    start("processor")(world)


def forget_migration(world: World) -> None:
    world.stack.database.command(
        "ALTER TABLE migrations DELETE WHERE number = (SELECT max(number) FROM migrations)"
        " SETTINGS mutations_sync = 2"
    )
    for name in ("query", "processor"):
        world.stack.services[name].kill()
        world.stack.services[name].start()
