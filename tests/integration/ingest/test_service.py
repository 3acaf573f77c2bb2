"""`python -m services.ingest` against a real Kafka and the real engine: what reaches the topic."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from backports import zstd
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.api_keys import Mode, generate_key
from libs.access.key_store import revoke_key
from libs.events.codec import decode_record
from libs.events.models import AnyEvent
from libs.events.partitions import partition_key, partition_of
from libs.settings import ClickHouseSettings
from tests.integration.ingest.conftest import PARTITIONS, PROJECT
from tests.integration.ingest.process import IngestProcess, ingest_process
from tests.integration.ingest.topics import read_topic
from tests.polling import until, until_answered
from tests.ports import free_port
from tests.servers import Servers

_PATH = f"/api/v1/projects/{PROJECT}/events"
_CANARY_ADDRESS = "203.0.113.77"
_CANARY_AGENT = "canary-agent"

pytestmark = pytest.mark.integration


@pytest.fixture
async def ingest(
    tmp_path: Path,
    clickhouse_settings: ClickHouseSettings,
    real_servers: Servers,
    topic: str,
    key: str,
) -> AsyncIterator[IngestProcess]:
    async with ingest_process(tmp_path, clickhouse_settings, real_servers.kafka, topic) as running:
        running.http.headers["Authorization"] = f"Bearer {key}"
        await running.answers("/healthz/ready", 200)
        yield running


def _message(number: int) -> dict[str, Any]:
    return {
        "id": f"evt-{number}",
        "type": "chat.message",
        "sessionId": f"ses-{number % 7}",
        "conversationId": f"con-{number % 7}",
        "role": "user",
        "context": {"ip": _CANARY_ADDRESS, "userAgent": _CANARY_AGENT},
    }


async def _post(
    ingest: IngestProcess, content: bytes, content_type: str, compression: str = "identity"
) -> httpx.Response:
    headers = {"Content-Type": content_type, "Content-Encoding": compression}
    return await ingest.http.post(_PATH, content=content, headers=headers)


async def _events(servers: Servers, topic: str) -> list[tuple[int, AnyEvent]]:
    records = await read_topic(servers.kafka, topic)
    lines = [
        (partition, line)
        for partition, values in records.items()
        for value in values
        for _, line in decode_record(value)
    ]
    return [(partition, line) for partition, line in lines if isinstance(line, AnyEvent)]


async def test_events_are_in_the_topic_when_answered_202(
    ingest: IngestProcess, real_servers: Servers, topic: str
) -> None:
    lines = b"\n".join(json.dumps(_message(n)).encode() for n in range(100))
    array = json.dumps([*(_message(n) for n in range(100, 200)), {"type": "nothing"}]).encode()
    answers = [
        await _post(ingest, lines, "application/x-ndjson", "gzip" if packed else "identity")
        for packed, lines in ((False, lines), (True, gzip.compress(lines)))
    ]
    answers.append(await _post(ingest, zstd.compress(array), "application/json", "zstd"))

    assert [a.status_code for a in answers] == [202] * 3
    assert [a.json()["accepted"] for a in answers] == [100] * 3
    assert [r["code"] for r in answers[-1].json()["rejected"]] == ["unknown_type"]
    events = await _events(real_servers, topic)
    assert sorted(event.id for _, event in events) == sorted(
        [f"evt-{n}" for n in range(100)] * 2 + [f"evt-{n}" for n in range(100, 200)]
    )
    assert all(p == partition_of(partition_key(event), PARTITIONS) for p, event in events)


async def test_requests_share_records_and_no_address_is_published(
    ingest: IngestProcess, real_servers: Servers, topic: str
) -> None:
    bodies = [json.dumps(_message(n)).encode() for n in range(200)]
    answers = await asyncio.gather(*(_post(ingest, b, "application/json") for b in bodies))

    assert {answer.status_code for answer in answers} == {202}
    values = [v for batch in (await read_topic(real_servers.kafka, topic)).values() for v in batch]
    assert sum(value.count(b"\n") + 1 for value in values) == 200
    assert len(values) < 200  # some of them share a record, however busy the machine is
    written = b"".join(values) + ingest.log.read_bytes()
    assert _CANARY_ADDRESS.encode() not in written
    assert _CANARY_AGENT.encode() not in written
    # But for the line that says where the service listens.
    assert b"127.0.0.1" not in written.replace(b'"host": "127.0.0.1"', b"")


async def test_accepted_events_are_in_the_topic_when_the_service_ends_under_load(
    ingest: IngestProcess, real_servers: Servers, topic: str
) -> None:
    accepted: set[str] = set()

    async def send(worker: int) -> None:
        for number in range(worker, 100_000, 4):
            try:
                answer = await _post(
                    ingest, json.dumps(_message(number)).encode(), "application/json"
                )
            except httpx.TransportError:
                return
            if answer.status_code == 202:
                accepted.add(f"evt-{number}")

    workers = [asyncio.create_task(send(worker)) for worker in range(4)]
    await until(lambda: len(accepted) >= 200)
    assert await ingest.stop() == 0
    await asyncio.gather(*workers)

    published = {event.id for _, event in await _events(real_servers, topic)}
    assert accepted <= published


async def test_key_is_refused_within_5_s_when_it_is_revoked(
    ingest: IngestProcess, clickhouse: AsyncClient
) -> None:
    body = json.dumps(_message(1)).encode()
    assert (await _post(ingest, body, "application/json")).status_code == 202
    await revoke_key(clickhouse, f"key-{PROJECT}", datetime.now(UTC))

    async def is_refused() -> bool:
        return (await _post(ingest, body, "application/json")).status_code == 401

    await until_answered(is_refused, timeout_s=5)


async def test_service_waits_and_says_so_when_kafka_is_not_there(
    tmp_path: Path, clickhouse_settings: ClickHouseSettings, key: str
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    async with ingest_process(tmp_path, clickhouse_settings, nowhere, "events") as ingest:
        ingest.http.headers["Authorization"] = f"Bearer {key}"
        await ingest.answers("/healthz/live", 200)

        async def has_keys() -> bool:
            ready = (await ingest.http.get("/healthz/ready")).json()
            return bool(ready["checks"] == {"kafka": False, "keys": True, "running": True})

        await until_answered(has_keys)
        answer = await _post(ingest, json.dumps(_message(1)).encode(), "application/json")
        assert await ingest.stop() == 0

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert "kafka.waiting" in ingest.log.read_text("utf-8")


async def test_service_waits_when_clickhouse_is_not_there(
    tmp_path: Path, clickhouse_settings: ClickHouseSettings, real_servers: Servers, topic: str
) -> None:
    nowhere = clickhouse_settings.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"})
    async with ingest_process(tmp_path, nowhere, real_servers.kafka, topic) as ingest:
        ingest.http.headers["Authorization"] = f"Bearer {generate_key(Mode.LIVE)}"
        await ingest.answers("/healthz/live", 200)
        answer = await _post(ingest, b"{}", "application/json")
        assert await ingest.stop() == 0

    assert answer.status_code == 503
    assert "clickhouse.waiting" in ingest.log.read_text("utf-8")
