"""Packs lines into records, one open record a partition, and waits for Kafka's acknowledgement.

Lines of concurrent requests share a record: it is sent some milliseconds after its first line, or
when it is full. While a record of a partition is on its way the next one stays open and goes on
filling (aiokafka sends one at a time anyway), so records grow with the load by themselves.

A record that Kafka did not take breaks the producer: an idempotent producer's sequence numbers have
a gap from then on. It is replaced by a new one; what had been given to the old one keeps its own
outcome. Until there is a producer nothing is taken.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import Struct

from libs.events.codec import join_lines
from libs.events.partitions import partition_of
from libs.events.record_index import ENTRY_BYTES, HEADER, index_of
from libs.http.problems import Problem
from libs.http.shares import Shares
from libs.kafka.connection import connection
from libs.settings import KafkaSettings
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import PENDING_BYTES, PUBLISH_FAILURES, PUBLISH_SECONDS
from services.ingest.settings import PublishSettings

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from libs.telemetry.spans import Publishing, Traces

_RETRY_INTERVAL_S = 2.0
_PROBE_INTERVAL_S = 5.0
_RETRY_AFTER_S = "3"

# Open requests have had their grace before that.
_STOP_TIMEOUT_S = 2.0

# What a broker takes by default; a batch stays well below, a single record always fits.
_MAX_RECORD_BYTES = 1024 * 1024
_MAX_BATCH_BYTES = 512 * 1024

log = get_logger()


NOT_WRITTEN_IN_TIME = (
    "Not all events could be written in time; some may have been. Send the same request again if"
    " the events have ids, or the request an Idempotency-Key; else they may count twice."
)


class UnavailableError(Problem):
    """Kafka did not acknowledge in time, or there is no room to wait: the outcome is unknown."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "unavailable",
            NOT_WRITTEN_IN_TIME,
            {"Retry-After": _RETRY_AFTER_S},
        )


Headers = list[tuple[str, bytes]]

_observe = PUBLISH_SECONDS.labels().observe


class Line(Struct, gc=False):
    """An event on its way to the topic: its partition key, its JSON, its entry in the index."""

    key: str
    json: bytes
    entry: bytes


class Client(Protocol):
    """What is used of aiokafka's client."""

    def force_metadata_update(self) -> Awaitable[bool]: ...


class Producer(Protocol):
    """What is used of aiokafka's producer."""

    @property
    def client(self) -> Client: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partitions_for(self, topic: str) -> set[int]: ...

    async def send(
        self, topic: str, value: bytes, *, partition: int, headers: Headers | None = None
    ) -> asyncio.Future[object]: ...


MakeProducer = Callable[[], Producer]


def kafka_producer(kafka: KafkaSettings, publish: PublishSettings) -> Producer:
    """A producer that loses and repeats nothing as long as it lives."""
    producer: Producer = AIOKafkaProducer(
        **connection(kafka),
        client_id="ragtime-ingest",
        enable_idempotence=True,
        acks="all",
        compression_type="zstd",
        linger_ms=0,
        retry_backoff_ms=250,
        max_batch_size=_MAX_BATCH_BYTES,
        max_request_size=_MAX_RECORD_BYTES,
        request_timeout_ms=int(publish.timeout_s * 1000),
    )
    return producer


class Receipt:
    """What one request waits for: the outcome of all records that hold its lines.

    Each request has a future of its own, which costs less than `asyncio.wait` for shared ones. Its
    bytes, which were taken of what may be pending, are given back when the last of these records
    has an outcome.
    """

    __slots__ = ("_are_taken", "_awaited", "_holder", "_pending", "_size_bytes", "outcome")

    def __init__(
        self,
        pending: Shares,
        holder: str,
        size_bytes: int,
        records: Collection["Record"],
        outcome: asyncio.Future[bool],
    ) -> None:
        self._pending, self._holder, self._size_bytes = pending, holder, size_bytes
        self._are_taken = True
        self._awaited = len(records)
        self.outcome = outcome
        for record in records:
            record.receipts.append(self)

    def note(self, is_taken: bool) -> None:
        """One of the records was taken by Kafka, or not."""
        self._awaited -= 1
        self._are_taken &= is_taken
        if not self._awaited:
            self._pending.give_back(self._holder, self._size_bytes)
            if not self.outcome.done():
                self.outcome.set_result(self._are_taken)

    def give_up(self) -> None:
        """It took too long."""
        if not self.outcome.done():
            self.outcome.set_result(False)


class Record:
    """Lines for one partition that travel together, and who waits for their acknowledgement."""

    __slots__ = ("entries", "lines", "receipts", "size_bytes", "spans")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.entries: list[bytes] = []
        self.size_bytes = 0
        self.receipts: list[Receipt] = []
        self.spans: list[Span] = []  # of the requests that are traced

    def settle(self, *, is_taken: bool) -> None:
        """Tell all who wait."""
        for receipt in self.receipts:
            receipt.note(is_taken)


def size_of(line: Line) -> int:
    """What a line adds to a record, in bytes."""
    return len(line.json) + 1 + ENTRY_BYTES


class Publisher:
    """The one way into the topic: `run` keeps a producer, `publish` uses it.

    `share`: of what may be pending, for one project; see Shares.
    """

    def __init__(
        self,
        topic: str,
        settings: PublishSettings,
        make_producer: MakeProducer,
        traces: "Traces | None" = None,
        *,
        share: float,
    ) -> None:
        self.traces = traces
        self._topic = topic
        self._settings = settings
        self._make_producer = make_producer
        self._producer: Producer | None = None
        self._partitions = 0
        self._broken = asyncio.Event()
        self._open: dict[int, Record] = {}
        self._sending: dict[int, int] = {}
        self._sent_at: dict[Record, float] = {}  # of those without an outcome; monotonic
        self._heard_at = 0.0  # from a broker; monotonic
        self._linger: asyncio.TimerHandle | None = None
        # Of those who wait for an outcome, in the order in which they began: a timer for each would
        # cost more than all else that is done for it here.
        self._deadlines: dict[Receipt, float] = {}
        self._deadline: asyncio.TimerHandle | None = None  # of the first of them
        self._pending = Shares(settings.max_pending_bytes, share)
        PENDING_BYTES.set_function(lambda: self._pending.used)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_ready(self) -> bool:
        """Whether there is a producer, Kafka acknowledges what it sends, and answers when nothing
        is sent.

        A record that a dead broker should take has no outcome until a broker lives again.
        """
        now, timeout_s = time.monotonic(), self._settings.timeout_s
        oldest = min([*self._sent_at.values()], default=now)  # the metrics ask in another thread
        is_silent = now - self._heard_at > timeout_s + _PROBE_INTERVAL_S
        return self._producer is not None and now - oldest <= timeout_s and not is_silent

    async def run(self) -> None:
        """Keep a producer: wait for Kafka, and replace the producer whenever it broke."""
        while True:
            self._broken.clear()
            producer = await self._start_producer()
            self._producer, self._heard_at = producer, time.monotonic()
            log.info("kafka.ready", topic=self._topic, partitions=self._partitions)
            probing = asyncio.create_task(self._probe(producer.client))
            try:
                await self._broken.wait()
            finally:
                probing.cancel()
            self._spawn(_close(producer))

    async def _probe(self, client: Client) -> None:
        """Ask again and again whether a broker is there: while nobody sends, nothing else tells."""
        while True:
            await asyncio.sleep(_PROBE_INTERVAL_S)
            if await client.force_metadata_update():
                self._heard_at = time.monotonic()

    async def stop(self) -> None:
        """Send what is open and wait for what is on its way, as long as there is time."""
        for partition in list(self._open):
            self._dispatch(partition)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                if self._tasks:
                    await asyncio.wait(self._tasks)
                producer, self._producer = self._producer, None
                if producer is not None:
                    await _close(producer)
        except TimeoutError:
            log.error("publish.cut_off", pending_bytes=self._pending.used)

    async def _start_producer(self) -> Producer:
        while True:
            producer = self._make_producer()
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    await producer.start()
                    self._partitions = len(await producer.partitions_for(self._topic))
            except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
                log.warning("kafka.waiting", topic=self._topic, error=repr(error)[:300])
                await _close(producer)
            except BaseException:
                await _close(producer)
                raise
            else:
                return producer
            await asyncio.sleep(_RETRY_INTERVAL_S)

    async def publish(self, lines: Sequence[Line], holder: str, span: "Span | None" = None) -> None:
        """Send lines; returns when Kafka has acknowledged all of them.

        `holder`: whose lines they are; `span`: of the request. Raises UnavailableError, at once
        when there is no producer, or too much is pending, else after the timeout. Being cancelled
        concerns the caller alone: its lines go on.
        """
        started = time.perf_counter()
        size_bytes = sum(map(size_of, lines))
        if self._producer is None or not self._pending.try_to_take(holder, size_bytes):
            PUBLISH_FAILURES.inc()
            raise UnavailableError
        loop = asyncio.get_running_loop()
        try:
            records = self._pack(lines, loop)
        except BaseException:
            self._pending.give_back(holder, size_bytes)
            raise
        receipt = Receipt(self._pending, holder, size_bytes, records, loop.create_future())
        if span is not None:
            for record in records:
                record.spans.append(span)
        self._deadlines[receipt] = started + self._settings.timeout_s
        if self._deadline is None:
            self._deadline = loop.call_later(self._settings.timeout_s, self._give_up_late)
        try:
            are_taken = await receipt.outcome
        finally:
            self._deadlines.pop(receipt, None)
        if not are_taken:
            PUBLISH_FAILURES.inc()
            raise UnavailableError
        _observe(time.perf_counter() - started)

    def _give_up_late(self) -> None:
        """Tell those who have waited for too long; come back for the next."""
        self._deadline = None
        now = time.perf_counter()
        for receipt in [*takewhile(lambda one: self._deadlines[one] <= now, self._deadlines)]:
            del self._deadlines[receipt]
            receipt.give_up()
        if self._deadlines:
            wait_s = next(iter(self._deadlines.values())) - now
            self._deadline = asyncio.get_running_loop().call_later(wait_s, self._give_up_late)

    def _pack(self, lines: Sequence[Line], loop: asyncio.AbstractEventLoop) -> set[Record]:
        """Put each line into the open record of its partition; a record that it fills goes off."""
        records: set[Record] = set()
        open_, partitions = self._open, self._partitions
        most_bytes, most_events = self._settings.max_record_bytes, self._settings.max_record_events
        for line in lines:
            partition = partition_of(line.key, partitions)
            size_bytes = size_of(line)
            record = open_.get(partition)
            if record is not None and record.size_bytes + size_bytes > most_bytes:
                self._dispatch(partition)
                record = None
            if record is None:
                record = open_[partition] = Record()
            records.add(record)
            record.lines.append(line.json)
            record.entries.append(line.entry)
            record.size_bytes += size_bytes
            if len(record.lines) >= most_events:
                self._dispatch(partition)
        if open_ and self._linger is None:
            self._linger = loop.call_later(self._settings.linger_ms / 1000, self._end_linger)
        return records

    def _end_linger(self) -> None:
        self._linger = None
        for partition in [p for p in self._open if not self._sending.get(p)]:
            self._dispatch(partition)

    def _dispatch(self, partition: int) -> None:
        record = self._open.pop(partition)
        self._sending[partition] = self._sending.get(partition, 0) + 1
        self._spawn(self._send(partition, record))

    async def _send(self, partition: int, record: Record) -> None:
        producer = self._producer
        self._sent_at[record] = time.monotonic()
        span = self._trace(record)
        try:
            if producer is None:
                raise UnavailableError
            value = join_lines(record.lines)
            headers = [(HEADER, index_of(value, record.entries))]
            if span is not None:
                headers.append(span.header())
            await (await producer.send(self._topic, value, partition=partition, headers=headers))
        except Exception as error:  # noqa: BLE001 - the edge of a task: its waiters must hear
            record.settle(is_taken=False)
            if span is not None:
                span.end(error)
            self._give_up(producer, error)
        else:
            self._heard_at = time.monotonic()
            record.settle(is_taken=True)
            if span is not None:
                span.end()
        finally:
            del self._sent_at[record]
            self._sending[partition] -= 1
            if not self._sending[partition] and partition in self._open:
                self._dispatch(partition)

    def _trace(self, record: Record) -> "Publishing | None":
        if self.traces is None or not record.spans:
            return None
        return self.traces.publishing(record.spans, self._topic)

    def _give_up(self, producer: Producer | None, error: Exception) -> None:
        """Take a producer out of use, once; what waits in open records fails with it."""
        if producer is None or producer is not self._producer:
            return
        log.error("kafka.record_not_taken", error=type(error).__name__)
        self._producer = None
        self._broken.set()
        for partition in list(self._open):
            self._dispatch(partition)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _close(producer: Producer) -> None:
    with suppress(KafkaError):
        await producer.stop()
