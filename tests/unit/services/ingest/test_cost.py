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


def _least_s(work: Callable[[], object], rounds: int = 9) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.thread_time()
        work()
        best = min(best, time.thread_time() - started)
    return best


async def _handle(body: bytes, media_type: MediaType = MediaType.JSON) -> int:
    try:
        events = await split_events(body, media_type, 10_000)
    except Problem:
        return 0
    return len((await prepare_batch(events, submission())).rejected)


def _cost_s(body: bytes, media_type: MediaType = MediaType.JSON) -> float:
    return _least_s(lambda: finish(_handle(body, media_type)))


@pytest.mark.parametrize(
    "word", ["macintosh", "silk/", "android", "tablet", "cubot", "tv", "kfaa", "aftaa", " bot_"]
)
def test_cost_of_a_user_agent_grows_with_its_length(word: str) -> None:
    numbers = count(1_000)  # no user agent is known already

    def cost_s(length: int) -> float:
        return _least_s(lambda: device_type_of(f"{next(numbers)}{word * length}"[:length]), 50)

    assert cost_s(1_024) < _GROWTH * cost_s(256)


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
    assert _cost_s(make(10_000)) < _GROWTH * _cost_s(make(2_500))


@pytest.mark.parametrize("body", [b" \n" * 5_000, b"1\n" + b" " * 10_000, b"x\n\n" * 5_000])
def test_cost_of_blank_lines_grows_with_their_number(body: bytes) -> None:
    ndjson = MediaType.NDJSON

    assert _cost_s(body * 4, ndjson) < _GROWTH * _cost_s(body, ndjson)


def test_body_in_many_members_costs_hardly_more_than_in_one() -> None:
    one = gzip.compress(b" " * 4_000_000, 0)

    def cost_s(packed: bytes) -> float:
        return _least_s(
            lambda: finish(decompress(packed, Compression.GZIP, 5_000_000, Received())), 5
        )

    assert cost_s(gzip.compress(b"") * 99 + one) < 4 * cost_s(one)


def test_refused_event_costs_less_than_a_third_of_one_that_is_taken() -> None:
    empty = b"[" + b",".join([b"{}"] * 10_000) + b"]"

    assert _cost_s(empty) < _cost_s(_HONEST) / 3


@pytest.mark.parametrize(
    ("fields", "at_most"),
    [
        ({"build": 7, "text": "Where are the toilets?"}, 3),
        ({"user_type": "public"}, 3),
        ({"language": 1, "deviceId": 2, "context": {"ip": 3, "userAgent": 4, "country": 5}}, 12),
    ],
    ids=["own fields", "near miss", "broken descriptions"],
)
def test_unusual_event_costs_little_more_than_an_honest_one(
    fields: dict[str, object], at_most: float
) -> None:
    event = json.dumps(_MESSAGE | {"id": "i" * 32} | fields).encode()

    assert _cost_s(b"[" + b",".join([event] * 2_500) + b"]") < at_most * _cost_s(_HONEST) / 4


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
