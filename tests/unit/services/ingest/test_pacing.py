"""What one key writes goes evenly: no burst of it stands before what others write."""

import asyncio
import json

import pytest

from libs.access.api_keys import NO_LIMIT
from libs.access.windows import Limit
from libs.events.record_index import ENTRY_BYTES
from services.ingest.pacing import Pace, slices
from services.ingest.publisher import Line, size_of
from tests.clock import Clock
from tests.polling import until
from tests.unit.services.ingest.service import PATH, service

_DEFAULT = Limit("events:a", 120_000)
_JSON = {"Content-Type": "application/json"}


def _lines(count: int, size_bytes: int = 300) -> list[Line]:
    return [Line(f"k{n}", b"x" * size_bytes, bytes(ENTRY_BYTES)) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "size_bytes", "limit", "parts"),
    [
        (1, 300, 120_000, 1),
        (500, 300, 120_000, 1),
        (501, 300, 120_000, 2),
        (10_000, 300, 120_000, 20),
        (20, 65_000, 120_000, 3),
        (2, 600_000, 120_000, 2),
        (500, 300, 100, 2),
        (10_000, 300, 1_200_000, 2),
    ],
)
def test_request_goes_in_slices_of_what_may_go_at_once(
    count: int, size_bytes: int, limit: int, parts: int
) -> None:
    lines = _lines(count, size_bytes)
    units = max(count, sum(map(size_of, lines)) // 1024)
    found = list(slices(Limit("events:a", limit), units, lines))
    assert [line for part, _ in found for line in part] == lines
    assert len(found) == parts
    assert sum(units for _, units in found) == pytest.approx(units, abs=parts)


def test_largest_request_goes_in_two_seconds_and_the_key_waits_for_it_alone() -> None:
    clock = Clock()
    pace = Pace(clock)
    waits = [pace.wait_s(_DEFAULT, 500) for _ in range(20)]
    assert waits == pytest.approx([n / 12 for n in range(20)])
    assert pace.wait_s(_DEFAULT, 1) == pytest.approx(20 / 12)
    assert pace.wait_s(Limit("events:b", 120_000), 500) == 0
    clock.now += 3
    assert pace.wait_s(_DEFAULT, 500) == 0


@pytest.mark.parametrize(("limit", "waits_s"), [(100, 0.2), (120_000, 0.1667), (1_200_000, 0.0167)])
def test_pace_follows_the_limit_of_the_key(limit: int, waits_s: float) -> None:
    pace = Pace(Clock())
    pace.wait_s(Limit("events:a", limit), 1_000)
    assert pace.wait_s(Limit("events:a", limit), 1) == pytest.approx(waits_s, abs=1e-3)


def test_keys_that_wait_for_nothing_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    for number in range(30_000):
        clock.now += 0.01
        pace.wait_s(Limit(f"events:{number}", 100), 1)
    assert len(pace._due) <= 10_000


async def test_other_key_goes_between_the_slices_of_a_large_request() -> None:
    events = [{"type": "session.started", "sessionId": f"s-{n}"} for n in range(5_000)]
    async with service() as running, asyncio.timeout(20):
        large = running.keys.add(events_per_minute=120_000)
        small = running.keys.add(events_per_minute=120_000, project_id="zoo")
        sending = asyncio.create_task(
            running.http.post(PATH, content=json.dumps(events), headers=large | _JSON)
        )
        await until(lambda: len(running.kafka.lines) >= 500)
        one = json.dumps(events[:1])
        path = "/api/v1/projects/zoo/events"
        answer = await running.http.post(path, content=one, headers=small | _JSON)
        before = len(running.kafka.lines)
        assert (await sending).json()["accepted"] == 5_000

    assert answer.status_code == 202
    assert before < 5_001
    assert len(running.kafka.lines) == 5_001


async def test_key_without_a_limit_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    paced: list[Limit] = []

    def wait_s(_: Pace, limit: Limit, units: int) -> float:
        assert units == 500
        paced.append(limit)
        return 0.0

    monkeypatch.setattr(Pace, "wait_s", wait_s)
    events = [{"type": "session.started", "sessionId": f"s-{n}"} for n in range(2_000)]
    async with service() as running:
        for limit in (NO_LIMIT, 120_000):
            shown = running.keys.add(events_per_minute=limit)
            answer = await running.http.post(
                PATH, content=json.dumps(events), headers=shown | _JSON
            )
            assert answer.json()["accepted"] == 2_000

    assert [limit.most for limit in paced] == [120_000] * 4
