"""What one project asks for, by however many keys, keeps no other project from its answer."""

import asyncio

import pytest

from services.query import routes
from tests.fakes import Row
from tests.polling import until
from tests.unit.services.query.conftest import PATH, PROJECT, Service, bearer

_PATH_OF_VICTIM = PATH.replace(PROJECT, "zoo")
_MANY: list[Row] = [("2026-03-25", "action", f"a{number:05}", True, 1) for number in range(12_000)]


@pytest.fixture
def attacker(service: Service) -> str:
    return service.add_key(rate_per_minute=1_000)


@pytest.fixture
def victim(service: Service) -> str:
    return service.add_key(rate_per_minute=1_000, project_id="zoo")


async def test_victim_is_asked_for_at_once_when_an_attacker_has_queued_many_questions(
    service: Service, attacker: str, victim: str
) -> None:
    service.limit(max_running=4, timeout_s=60)
    async with service.run() as http, asyncio.timeout(20):
        service.clickhouse.slow = {"FROM daily_counts": 60}
        heavy = [asyncio.create_task(http.get(PATH, headers=bearer(attacker))) for _ in range(30)]
        await until(lambda: service.clickhouse.running == 2)
        mine = asyncio.create_task(http.get(_PATH_OF_VICTIM, headers=bearer(victim)))
        await until(lambda: service.clickhouse.running == 3)
        for task in (*heavy, mine):
            task.cancel()
        await asyncio.gather(*heavy, mine, return_exceptions=True)


async def test_questions_about_a_device_wait_for_each_other_and_nobody_else_for_them(
    service: Service, attacker: str, victim: str
) -> None:
    service.limit(timeout_s=60)
    accomplice = service.add_key(rate_per_minute=1_000)  # of the attacker's project
    device = {"deviceId": "d"}
    async with service.run() as http, asyncio.timeout(20):
        service.clickhouse.slow = {"device_id": 60}
        heavy = [
            asyncio.create_task(http.get(PATH, params=device, headers=bearer(key)))
            for key in (attacker, accomplice) * 5
        ]
        await until(lambda: service.clickhouse.running == 1)
        plain = await http.get(PATH, headers=bearer(attacker))
        mine = asyncio.create_task(http.get(_PATH_OF_VICTIM, params=device, headers=bearer(victim)))
        await until(lambda: service.clickhouse.running == 2)
        running = service.clickhouse.most_running
        for task in (*heavy, mine):
            task.cancel()
        await asyncio.gather(*heavy, mine, return_exceptions=True)

    assert plain.status_code == 200
    assert running == 2


@pytest.fixture
def little_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as four answers of 9,000 rows may be unread, or two of more than 10,000."""
    monkeypatch.setattr(routes, "_MAX_UNREAD_BYTES", 4 * 1024 * 1024)
    monkeypatch.setattr(routes, "_LARGE_BYTES", 2 * 1024 * 1024)


@pytest.mark.usefixtures("little_unread")
@pytest.mark.parametrize(("rows", "unread"), [(9_000, 2), (12_000, 1)])
async def test_victim_gets_a_large_answer_when_an_attacker_reads_none_of_its_own(
    service: Service, attacker: str, victim: str, rows: int, unread: int
) -> None:
    service.clickhouse.rows["FROM daily_counts"] = list(_MANY[:rows])
    service.limit(timeout_s=5.0)
    accomplice = service.add_key(rate_per_minute=1_000)  # of the attacker's project
    async with service.run() as http, asyncio.timeout(20):
        asked = [asyncio.create_task(service.ask_and_stall(attacker)) for _ in range(unread)]
        await until(lambda: len(service.stalled) == unread)
        refused = await http.get(PATH, headers=bearer(accomplice))
        answer = await http.get(_PATH_OF_VICTIM, headers=bearer(victim))
        for stalled in service.stalled:
            stalled.set()
        await asyncio.gather(*asked)

    assert answer.status_code == 200
    assert len(answer.json()["stats"]) == rows
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
