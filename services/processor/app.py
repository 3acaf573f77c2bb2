"""Builds the processor: a Faust app with one agent, its ClickHouse client, and its health port."""

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error
from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials
from mode.supervisors import CrashingSupervisor
from mode.threads import WorkerThread

from libs.clickhouse.connection import connect_patiently, first_line
from libs.clickhouse.migrations import wait_until_countable
from libs.events.record_index import HEADER
from libs.events.window import FIRST_APPENDED
from libs.kafka.connection import connection, tokens
from libs.settings import KafkaSettings, load_settings
from libs.telemetry.logs import configure_logs, get_logger
from libs.telemetry.metrics import shown_by
from libs.telemetry.serving import serve_metrics
from libs.telemetry.tracing import TRACEPARENT, tracing
from services.processor.agent import Agent, Table
from services.processor.batch import Record
from services.processor.dead_letters import DeadLetters
from services.processor.health import Health, serve_health
from services.processor.late_days import LateDays
from services.processor.lookups import Lookups
from services.processor.membership import Membership, instance_id
from services.processor.ownership import Ownership, StoppedError
from services.processor.recovery import Recovery, utc_now
from services.processor.settings import Settings
from services.processor.topic import EventsTopic, tell_mismatches
from services.processor.watchdog import Watchdog
from services.processor.writer import Writer

if TYPE_CHECKING:
    from libs.telemetry.spans import Traces

_RETRY_S = 3.0
_MISMATCH_S = 5.0
_AGREE_S = 0.2
_JOIN_S = 3.0

T = TypeVar("T")

log = get_logger()


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 0 after a clean stop."""
    settings = load_settings(Settings)
    configure_logs("processor", settings.log.level)
    serve_metrics(settings.http, shown_by("processor"))
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-processor-") as folder,
        tracing("processor", settings.traces) as traces,
    ):
        asyncio.run(run(settings, folder, traces))


async def run(settings: Settings, folder: str, traces: "Traces | None") -> None:
    """The life of the service: wait for the servers, work, stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    health = Health()
    async with serve_health(settings.http, health):
        starting = asyncio.ensure_future(_start(settings, health, folder, traces))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        app = starting.result()
        await app.wait_for_stopped(stop.wait())
        health.stopping = True
        log.info("processor.stopping")
        crashed = app.crashed
        # Not by a time-out: what hangs in Faust has been seen to outlive its cancellation.
        stopped = asyncio.ensure_future(_stop(app))
        await asyncio.wait({stopped}, timeout=settings.stop.grace_s)
        if not stopped.done():
            # A server is away, say. The next owner finds out what arrived; threads may hang.
            log.error("processor.cut_off", grace_s=settings.stop.grace_s)
            os._exit(1 if crashed else 0)
        stopped.result()
    if crashed:
        log.error("processor.crashed")
        os._exit(1)  # no destructor may try anything after a crash; the batch is read again
    log.info("processor.stopped")


async def _stop(app: faust.App) -> None:
    await app.stop()
    await _join_threads()


async def _join_threads() -> None:
    # Faust's consumer lives in a thread that outlives `stop` a little and needs this loop to end.
    for thread in threading.enumerate():
        if isinstance(thread, WorkerThread):
            await asyncio.to_thread(thread.join, _JOIN_S)


async def _start(
    settings: Settings, health: Health, folder: str, traces: "Traces | None"
) -> faust.App:
    client = await connect_patiently(settings.clickhouse)
    await wait_until_countable(client, settings.clickhouse.database)
    health.clickhouse = True
    await wait_for_topic(settings.kafka)
    dead_letters = DeadLetters(settings.kafka, settings.dead_letters.limit)
    await dead_letters.start()
    health.kafka = True
    app = build(settings, Neighbours(client, dead_letters, traces), health, folder)
    await app.wait_for_stopped(app.start())  # a crash in another thread does not end the start
    return app


async def wait_for_topic(settings: KafkaSettings) -> None:
    """Wait until Kafka answers and has the topic; Faust itself gives up on either."""
    while True:
        consumer = AIOKafkaConsumer(**connection(settings))
        try:
            await consumer.start()
            if settings.events_topic in await consumer.topics():
                return
            log.warning("kafka.waiting", missing_topic=settings.events_topic)
        except KafkaError as error:
            log.warning("kafka.waiting", error=type(error).__name__)
        finally:
            await consumer.stop()
        await asyncio.sleep(_RETRY_S)


@dataclass(frozen=True)
class Neighbours:
    """What the processor talks to, besides Faust's own consumer."""

    client: AsyncClient
    dead_letters: DeadLetters
    traces: "Traces | None"


def build(settings: Settings, neighbours: Neighbours, health: Health, folder: str) -> faust.App:
    """The Faust app with its one agent."""
    client, dead_letters = neighbours.client, neighbours.dead_letters
    app = _faust_app(settings, folder)
    events_topic = EventsTopic(settings.kafka, client)
    name = events_topic.name
    membership = Membership(app, name)
    ownership = Ownership(
        settings.batch.lease_s,
        membership.confirm,
        membership.is_wanted,
        time.monotonic,
        asyncio.sleep,
    )
    recovery = Recovery(client, name, ownership, utc_now)
    max_bytes = settings.memory.max_bytes
    lookups = Lookups(client, name, LateDays(max_bytes // 8))
    table = Table(Writer(client), recovery, lookups)
    agent = Agent(events_topic, table, dead_letters, ownership, max_bytes)
    watchdog = Watchdog(agent, membership, events_topic, dead_letters, client)

    async def watch() -> None:
        await watchdog.run(health, lambda: not app.should_stop, settings.clickhouse.timeout_s)

    app.add_future(watch())  # a task of Faust's would wait for the first rebalance

    # Faust calls this inside each rebalance, and the next one waits for it.
    @app.on_partitions_assigned.connect
    async def given(*_: object, **_signal: object) -> None:
        membership.given()

    # Faust calls this after each rebalance, before it seeks to the committed offsets and reads.
    # Whatever happens it must not return while the next rebalance is under way: Faust would read on
    # in its midst, from where it happens to stand.
    @app.on_rebalance_complete.connect
    async def own(*_: object, **_signal: object) -> None:
        health.owns, health.aside = False, []
        membership.begin()
        try:
            number = await _patiently(events_topic.number_of_partitions, ownership)
            await _patiently(events_topic.read_noted, ownership)
            table.speaks_of(events_topic.counted_as, number)
            await agent.take_over(membership.partitions())
            await _check_topic(events_topic, agent, ownership, health)
            await _agree_with_group(membership, agent, ownership)
            health.owns = True
        except StoppedError:
            await app.wait_for_stopped(membership.next_given())
            return
        log.info("processor.owns", partitions=sorted(agent.partitions))

    def counting(events: list[Any]) -> AbstractContextManager[None]:
        if neighbours.traces is None:
            return nullcontext()
        found = (_values(TRACEPARENT, event.message.headers) for event in events)
        return neighbours.traces.counting(chain.from_iterable(found), name)

    topic = app.topic(name, key_serializer="raw", value_serializer="raw", value_type=bytes)

    @app.agent(topic)
    async def count(stream: Any) -> None:  # noqa: ANN401 - Faust's type lacks noack_take
        async for events in stream.noack_take(
            settings.batch.max_records, within=settings.batch.within_s
        ):
            with counting(events):
                await _count(membership, agent, ownership, events)

    return app


def _faust_app(settings: Settings, folder: str) -> faust.App:
    # What differs from Faust's defaults keeps it from losing records.
    return faust.App(
        settings.group.name,
        broker=[f"kafka://{server}" for server in settings.kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings.kafka),
        datadir=folder,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        agent_supervisor=CrashingSupervisor,
        stream_wait_empty=True,
        # A batch fits: with less, what came while one was inserted waits for one cycle more.
        stream_buffer_maxsize=settings.batch.max_records,
        # Of each partition, still compressed: it is the most of what a backlog takes in memory.
        consumer_max_fetch_size=512 * 1024,
        consumer_auto_offset_reset="earliest",
        # A broker that has just started may know no partitions: the group is told of them soon.
        consumer_metadata_max_age_ms=5_000,
        consumer_group_instance_id=instance_id(
            settings.group.instance, settings.kafka.events_topic
        ),
        broker_session_timeout=settings.group.session_timeout_s,
        # Faust refuses one that is shorter; the group answers a member when others' sessions end.
        broker_request_timeout=max(90.0, settings.group.session_timeout_s),
        broker_heartbeat_interval=settings.group.session_timeout_s / 20,
        broker_rebalance_timeout=max(120.0, settings.group.session_timeout_s),
        # An outage of ClickHouse must not cost the worker its membership.
        broker_max_poll_interval=2_000_000,
    )


def _credentials(kafka: KafkaSettings) -> Credentials | None:
    if provider := tokens(kafka):
        return OAuthCredentials(oauth_cb=provider, ssl_context=kafka.tls)
    if kafka.password is not None:
        return SASLCredentials(
            username=kafka.username,
            password=kafka.password.get_secret_value(),
            ssl_context=kafka.tls,
            mechanism=kafka.sasl_mechanism,
        )
    return SSLCredentials(kafka.tls) if kafka.tls else None


async def _check_topic(
    topic: EventsTopic, agent: Agent, ownership: Ownership, health: Health
) -> None:
    # Neither skipped nor counted twice: nothing of these is counted until a person has decided.
    # What was counted from another partition holds whatever became of this one.
    while found := await _patiently(partial(topic.mismatches, agent.partitions), ownership):
        tell_mismatches(found)
        health.aside = sorted(found)
        if agent.partitions.keys() - found.keys():
            await agent.set_aside(found)
            return
        await ownership.pause(_MISMATCH_S)
    health.aside = []


async def _agree_with_group(membership: Membership, agent: Agent, ownership: Ownership) -> None:
    # The table decides where reading goes on, not the group: what is committed is made to agree.
    # If it cannot be, another rebalance is under way, and another take-over follows.
    offsets = {number: own.next_offset for number, own in agent.partitions.items()}
    while offsets and not await membership.confirm(offsets):
        log.warning("membership.not_confirmed")
        await ownership.pause(_AGREE_S)
    await membership.seek_to_start({number for number, offset in offsets.items() if not offset})


async def _patiently(ask: Callable[[], Awaitable[T]], ownership: Ownership) -> T:
    while True:
        try:
            return await ask()
        except (KafkaError, Error) as error:
            log.warning("take_over.waiting", error=first_line(error))
        await ownership.pause(_RETRY_S)


async def _count(
    membership: Membership, agent: Agent, ownership: Ownership, events: list[Any]
) -> None:
    current = membership.of_this_generation(events)
    current = membership.without(agent.aside, current)
    records = [
        Record(
            m.partition,
            m.offset,
            round(m.timestamp * 1000),
            m.value,
            next(_values(HEADER, m.headers), None),
            next(_values(FIRST_APPENDED, m.headers), None),
        )
        for m in (event.message for event in current)
    ]
    try:
        await agent.process(records)
    except StoppedError:
        membership.let_go(events)
        return
    except Exception:
        # A bug. Faust would go on with the next batch; a new process reads this one again.
        log.exception("processor.bug")
        os._exit(1)
    asked_at = time.monotonic()
    if await membership.commit(current):
        ownership.confirmed(asked_at)


def _values(header: str, headers: Iterable[tuple[str, bytes]] | None) -> Iterator[bytes]:
    return (value for name, value in headers or () if name == header)
