"""What one project sends, by however many keys, keeps no other project from being heard."""

import asyncio
import json

import httpx

from libs.access.api_keys import NO_LIMIT
from services.ingest.settings import PublishSettings
from tests.polling import until
from tests.unit.services.ingest.service import PATH, Service, service

_PATH_OF_VICTIM = "/api/v1/projects/zoo/events"
_JSON = {"Content-Type": "application/json"}
_LITTLE = PublishSettings(linger_ms=0, timeout_s=20, max_pending_bytes=1024 * 1024)


async def _post(
    running: Service, key: dict[str, str], events: int, path: str = PATH
) -> httpx.Response:
    body = [{"type": "session.started", "sessionId": f"s-{number}"} for number in range(events)]
    return await running.http.post(path, content=json.dumps(body), headers=key | _JSON)


async def test_victim_is_heard_when_an_attackers_keys_have_pending_what_one_may() -> None:
    async with service(publish=_LITTLE) as running, asyncio.timeout(20):
        attacker, accomplice = (running.keys.add(events_per_minute=NO_LIMIT) for _ in range(2))
        victim = running.keys.add(events_per_minute=NO_LIMIT, project_id="zoo")
        running.kafka.is_holding = True
        taken = [
            asyncio.create_task(_post(running, attacker, 1_000)),
            asyncio.create_task(_post(running, victim, 1_000, _PATH_OF_VICTIM)),
        ]
        await until(lambda: len(running.kafka.held) == running.kafka.partitions)
        refused = await _post(running, accomplice, 1_000)
        running.kafka.release()
        statuses = [answer.status_code for answer in await asyncio.gather(*taken)]

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert statuses == [202, 202]
