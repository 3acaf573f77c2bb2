"""Dead letters: their headers, the attempts to write them, and the limit of how many in a row."""

from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from libs.events.reasons import DeadLetterReason
from libs.settings import KafkaSettings
from services.processor.batch import DeadLetter
from services.processor.dead_letters import DeadLetters, headers
from services.processor.ownership import StoppedError
from tests.unit.services.processor.events import record

SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1")
LIMIT = 5


class Written(DeadLetters):
    """Writes into a list; fails as often as it is told."""

    def __init__(self, limit: int) -> None:
        super().__init__(SETTINGS, limit)
        self.letters: list[DeadLetter] = []
        self.failures = 0

    async def _send_all(self, letters: list[DeadLetter]) -> None:
        if self.failures:
            self.failures -= 1
            raise KafkaConnectionError
        self.letters += letters


@pytest.fixture
async def make() -> AsyncIterator[Callable[[int], Written]]:
    """Dead letters with a limit."""
    made: list[Written] = []

    def make_one(limit: int) -> Written:
        made.append(Written(limit))
        return made[-1]

    yield make_one
    for one in made:
        await one.stop()


def letters(number: int) -> list[DeadLetter]:
    return [
        DeadLetter(record(b"{", offset=at), 0, b"{", DeadLetterReason.NOT_JSON, "why")
        for at in range(number)
    ]


async def never(_seconds: float) -> None:
    raise AssertionError("it waits")


async def stopped(_seconds: float) -> None:
    raise StoppedError


Make = Callable[[int], Written]


async def test_dead_letters_are_written_when_they_are_as_many_as_the_limit(make: Make) -> None:
    kept = make(LIMIT)
    await kept.send(letters(LIMIT - 1), never)
    await kept.send(letters(1), never)
    assert len(kept.letters) == LIMIT
    assert not kept.is_held


async def test_dead_letters_stop_and_say_so_when_the_limit_is_passed(make: Make) -> None:
    kept = make(LIMIT)
    await kept.send(letters(LIMIT), never)
    with capture_logs() as said, pytest.raises(StoppedError):
        await kept.send(letters(1), stopped)
    assert len(kept.letters) == LIMIT
    assert kept.is_held
    (line,) = said
    assert (line["event"], line["log_level"], line["limit"]) == (
        "dead_letters.limit_reached",
        "error",
        LIMIT,
    )


async def test_dead_letters_stop_when_one_batch_alone_passes_the_limit(make: Make) -> None:
    kept = make(LIMIT)
    with pytest.raises(StoppedError):
        await kept.send(letters(LIMIT + 1), stopped)
    assert kept.letters == []


async def test_dead_letters_go_on_when_an_event_was_counted_between_them(make: Make) -> None:
    kept = make(LIMIT)
    for _ in range(3):
        await kept.send(letters(LIMIT), never)
        kept.counted(1)
    assert len(kept.letters) == 3 * LIMIT


async def test_dead_letters_are_held_no_more_when_others_counted_before_the_next_try(
    make: Make,
) -> None:
    kept = make(LIMIT)
    await kept.send(letters(LIMIT), never)
    with pytest.raises(StoppedError):  # the partition goes to another processor
        await kept.send(letters(1), stopped)
    kept.counted(1)
    await kept.send(letters(1), never)
    assert not kept.is_held


async def test_dead_letters_stop_when_batches_between_them_counted_nothing(make: Make) -> None:
    kept = make(LIMIT)
    await kept.send(letters(LIMIT), never)
    kept.counted(0)
    with pytest.raises(StoppedError):
        await kept.send(letters(1), stopped)


async def test_dead_letters_never_stop_when_the_limit_is_0(make: Make) -> None:
    kept = make(0)
    await kept.send(letters(1_000), never)
    assert len(kept.letters) == 1_000
    assert not kept.is_held


async def test_batch_without_dead_letters_goes_on_when_the_limit_is_reached(make: Make) -> None:
    kept = make(LIMIT)
    await kept.send(letters(LIMIT), never)
    await kept.send([], never)


async def test_dead_letters_are_written_again_when_kafka_did_not_take_them(make: Make) -> None:
    kept = make(LIMIT)
    kept.failures = 2
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    await kept.send(letters(1), wait)
    assert len(kept.letters) == 1
    assert len(waited) == 2


def test_headers_name_no_line_when_the_whole_record_is_the_letter() -> None:
    letter = DeadLetter(
        record(offset=7, partition=3), None, b"", DeadLetterReason.EMPTY_RECORD, "x" * 600
    )
    assert headers("events", letter) == [
        ("topic", b"events"),
        ("partition", b"3"),
        ("offset", b"7"),
        ("reason", b"empty_record"),
        ("detail", b"x" * 500),
    ]
