"""What strangers send costs by its length, no more, and lets others have their turn.

All bounds are ratios within one test; `python -m tests.bench.bodies` shows the figures.
"""

import gzip
import json
import time
from collections.abc import Callable
from itertools import count

import pytest

from libs.http.problems import Problem
from services.ingest.batches import prepare_batch
from services.ingest.bodies import Compression, MediaType, Received, decompress, split_events
from services.ingest.devices import device_type_of
from tests.turns import finish, timed
from tests.unit.services.ingest.submissions import submission

_HALF = rb"\ud800"
_MESSAGE = {"type": "chat.message", "sessionId": "s", "conversationId": "c", "role": "user"}
_HONEST = b"[" + b",".join([json.dumps(_MESSAGE | {"id": "i" * 32}).encode()] * 10_000) + b"]"

# Of four times as much, where twice as much would cost four times: 16. Linear: 4.
_GROWTH = 9.0


def _least_s(
    first: Callable[[], object], second: Callable[[], object], rounds: int = 9
) -> tuple[float, float]:
    """Of two works in turns: what slows the machine for a while must not slow one of them alone.

    It ends when for so many rounds neither took less than before: beside a load the first rounds
    may all be slow.
    """
    least = [float("inf")] * 2
    left, most = rounds, 10 * rounds
    while left and most:
        left, most = left - 1, most - 1
        for at, work in enumerate((first, second)):
            started = time.thread_time()
            work()
            took_s = time.thread_time() - started
            if took_s < least[at]:
                left = rounds if took_s < 0.98 * least[at] else left
                least[at] = took_s
    return least[0], least[1]


async def _handle(body: bytes, media_type: MediaType = MediaType.JSON) -> int:
    try:
        events = await split_events(body, media_type, 10_000)
    except Problem:
        return 0
    return len((await prepare_batch(events, submission())).rejected)


def _costs_s(
    first: bytes, second: bytes, media_type: MediaType = MediaType.JSON
) -> tuple[float, float]:
    return _least_s(
        lambda: finish(_handle(first, media_type)), lambda: finish(_handle(second, media_type))
    )


@pytest.mark.parametrize(
    "word", ["macintosh", "silk/", "android", "tablet", "cubot", "tv", "kfaa", "aftaa", " bot_"]
)
def test_cost_of_a_user_agent_grows_with_its_length(word: str) -> None:
    numbers = count(1_000)  # no user agent is known already

    def parse(length: int) -> None:
        device_type_of(f"{next(numbers)}{word * length}"[:length])

    long_s, short_s = _least_s(lambda: parse(1_024), lambda: parse(256), 50)

    assert long_s < _GROWTH * short_s


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b'["' + _HALF * size + b'"]',
        lambda size: b'["' + _HALF * size,
        lambda size: b"[" + b",".join([b'["' + _HALF + b'"]'] * size) + b"]",
        lambda size: b'["' + (b"x" + _HALF) * size + b'"]',
        lambda size: b'["' + rb"\ud83d\ude00" * size + _HALF + b'"]',
        lambda size: b'["' + rb"\\" * size + _HALF + b'"]',
        lambda size: b'[{"context":{"ip":"' + b"1." * size + b'"}}]',
    ],
    ids=["text", "open text", "elements", "between letters", "pairs", "backslashes", "ip"],
)
def test_cost_of_a_body_grows_with_its_length(make: Callable[[int], bytes]) -> None:
    long_s, short_s = _costs_s(make(10_000), make(2_500))

    assert long_s < _GROWTH * short_s


@pytest.mark.parametrize("body", [b" \n" * 5_000, b"1\n" + b" " * 10_000, b"x\n\n" * 5_000])
def test_cost_of_blank_lines_grows_with_their_number(body: bytes) -> None:
    long_s, short_s = _costs_s(body * 4, body, MediaType.NDJSON)

    assert long_s < _GROWTH * short_s


def test_body_in_many_members_costs_hardly_more_than_in_one() -> None:
    one = gzip.compress(b" " * 4_000_000, 0)

    many = gzip.compress(b"") * 99 + one

    def unpack(packed: bytes) -> None:
        finish(decompress(packed, Compression.GZIP, 5_000_000, Received()))

    many_s, one_s = _least_s(lambda: unpack(many), lambda: unpack(one), 5)

    assert many_s < 4 * one_s


def test_refused_event_costs_less_than_a_third_of_one_that_is_taken() -> None:
    empty = b"[" + b",".join([b"{}"] * 10_000) + b"]"

    refused_s, taken_s = _costs_s(empty, _HONEST)

    assert refused_s < taken_s / 3


@pytest.mark.parametrize(
    ("fields", "at_most"),
    [
        ({"build": 7, "text": "Where are the toilets?"}, 3),
        ({"user_type": "public"}, 3),
        ({"language": 1, "deviceId": 2, "context": {"ip": 3, "userAgent": 4, "country": 5}}, 12),
        ({"type": "rag.retrieval", "hit": True, "sources": [{"id": "s", "name": 7}]}, 12),
    ],
    ids=["own fields", "near miss", "broken descriptions", "broken name"],
)
def test_unusual_event_costs_little_more_than_an_honest_one(
    fields: dict[str, object], at_most: float
) -> None:
    event = json.dumps(_MESSAGE | {"id": "i" * 32} | fields).encode()

    unusual_s, honest_s = _costs_s(b"[" + b",".join([event] * 2_500) + b"]", _HONEST)

    assert unusual_s < at_most * honest_s / 4


def test_names_that_are_no_texts_cost_little_more_than_honest_events_of_their_length() -> None:
    sources = [{"id": f"s-{number}", "name": 7} for number in range(100)]
    search = {"type": "rag.retrieval", "sessionId": "s", "conversationId": "c", "hit": True}
    event = json.dumps(search | {"id": "i" * 32, "sources": sources}).encode()
    body = b"[" + b",".join([event] * (len(_HONEST) // len(event))) + b"]"

    broken_s, honest_s = _costs_s(body, _HONEST)

    assert broken_s < 10 * honest_s


def test_too_many_names_that_are_no_texts_cost_little_more_than_honest_events() -> None:
    source = b'{"id":"s","name":7}'
    start = b'[{"type":"rag.retrieval","sessionId":"s","conversationId":"c","hit":true,"sources":['
    body = start + b",".join([source] * (len(_HONEST) // len(source))) + b"]}]"

    broken_s, honest_s = _costs_s(body, _HONEST)

    assert broken_s < 5 * honest_s


@pytest.mark.parametrize(
    "body",
    [_HONEST, b'["' + _HALF * 400_000 + b'"]', b'["' + rb"\\" * 1_000_000 + _HALF + b'"]'],
    ids=["10,000 events", "halves", "backslashes"],
)
def test_others_get_their_turn_when_a_body_takes_long(body: bytes) -> None:
    rounds = [timed(_handle(body))[1] for _ in range(3)]

    assert min(max(turns) / sum(turns) for turns in rounds) < 0.4


def test_others_get_their_turn_when_a_body_is_unpacked() -> None:
    packed = gzip.compress(_HONEST, 1)

    _, turns = timed(decompress(packed, Compression.GZIP, 5_000_000, Received()))

    assert len(turns) >= len(_HONEST) // (256 * 1024)
