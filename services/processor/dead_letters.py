"""The topic `events.dead-letter`: what is no valid event, as it was, with its reason and place.

The value is the original line; a record that holds no line at all is kept whole. Headers: `topic`,
`partition`, `offset`, `line` (absent for a whole record), `reason`, `detail`. A value of more than
4 MiB, which only a broker with a higher limit of its own lets in, is cut.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.kafka.connection import connection
from libs.settings import KafkaSettings
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import DEAD_LETTERS, KAFKA_RETRIES
from services.processor.batch import DeadLetter

_RETRY_S = 1.0
_HELD_S = 5.0
_MAX_DETAIL = 500
# A record of the events may be as large as the broker takes, and here it has headers besides.
MAX_RECORD_BYTES = 4 * 1024 * 1024
_MAX_VALUE_BYTES = MAX_RECORD_BYTES - 64 * 1024

log = get_logger()


Pause = Callable[[float], Awaitable[None]]


class DeadLetters:
    """Writes dead letters, and returns only when Kafka has acknowledged them.

    Beyond `limit` dead letters in a row, without one event that counts between them, it writes no
    more: then something is wrong with the topic as a whole, and a person should look before all of
    it is diverted. A limit of 0 is none.
    """

    def __init__(self, settings: KafkaSettings, limit: int) -> None:
        self._settings = settings
        self._limit = limit
        self._in_a_row = 0
        self.is_held = False
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises KafkaError when no broker answers."""
        producer = AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            max_request_size=MAX_RECORD_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Close the connection, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError):
                await producer.stop()

    def counted(self, events: int) -> None:
        """Some events were counted: the topic is not all wrong."""
        if events:
            self._in_a_row = 0

    async def send(self, letters: list[DeadLetter], pause: Pause) -> None:
        """Send them all; tries again for ever, since what is not kept must not be skipped.

        Raises what `pause` raises.
        """
        self.is_held = False
        while letters and self._limit and self._in_a_row + len(letters) > self._limit:
            self.is_held = True
            log.error("dead_letters.limit_reached", limit=self._limit, first=letters[0].reason)
            await pause(_HELD_S)
        self._in_a_row += len(letters)
        while letters:
            try:
                await self._send_all(letters)
            except KafkaError as error:
                log.warning("dead_letters.waiting", error=type(error).__name__)
                KAFKA_RETRIES.labels("dead_letters").inc()
                # An idempotent producer that gave up on a record has a gap: it takes no more.
                await self.stop()
                await pause(_RETRY_S)
            else:
                for letter in letters:
                    DEAD_LETTERS.labels(letter.reason).inc()
                log.warning("dead_letters.sent", count=len(letters), first=letters[0].reason)
                return

    async def _send_all(self, letters: list[DeadLetter]) -> None:
        if self._producer is None:
            await self.start()
        producer = self._producer
        assert producer is not None  # noqa: S101
        topic = self._settings.dead_letter_topic
        await asyncio.gather(
            *(
                producer.send_and_wait(
                    topic,
                    value=letter.value[:_MAX_VALUE_BYTES],
                    headers=headers(self._settings.events_topic, letter),
                )
                for letter in letters
            )
        )


def headers(topic: str, letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The headers of a dead letter."""
    fields = {
        "topic": topic,
        "partition": str(letter.record.partition),
        "offset": str(letter.record.offset),
        "line": None if letter.line is None else str(letter.line),
        "reason": letter.reason.value,
        "detail": letter.detail[:_MAX_DETAIL],
    }
    return [(name, text.encode()) for name, text in fields.items() if text is not None]
