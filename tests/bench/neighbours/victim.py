"""B: writes an event and reads its analytics once a second, and notes how long each took.

Half of its bodies are compressed, and each fifth answer is one of many rows: these are what a
service has few places for.

An event's time runs from the moment at which it was due until the rollup holds it. One that is
refused is sent again, as a producer does, and that is noted: B keeps to every limit and meets none.
"""

import asyncio
import gzip
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import connect
from tests.bench.measure import percentile
from tests.bench.neighbours.stage import B, Stage
from tests.bench.neighbours.wire import Caller

_ADDRESS = "127.0.0.1"
_LOOK_EVERY_S = 0.1
_RETRY_S = 0.5
_ALL_DAYS = "?from=2024-04-01&to=2026-03-01"
_ANSWERED_WITHIN_S = 15.0
_SEEN = """
SELECT key FROM daily_counts
WHERE project_id = {project:String} AND category = 'action' AND startsWith(key, {probe:String})
"""


@dataclass
class Seen:
    """What B has seen. Times in seconds; `unseen`: events that were not counted in the end.

    `written_s`: until an event was accepted; `visible_s`: until it was counted.

    Of an event that was never counted, and of an answer that never came, the time is that until B
    gave up: at least so long.
    """

    visible_s: list[float] = field(default_factory=list)
    read_s: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    unseen: int = 0
    written_s: list[float] = field(default_factory=list)

    def visible(self, share: float) -> float:
        return percentile(self.visible_s, share)

    def read(self, share: float) -> float:
        return percentile(self.read_s, share)


async def watch(stage: Stage, seconds: int, patience_s: float, phase: str) -> Seen:
    """Write and read once a second for so long, and wait until all is counted or patience ends."""
    client = await connect(stage.stack.clickhouse_settings())
    try:
        return await _Victim(stage, client, phase).run(seconds, patience_s)
    finally:
        await client.close()


class _Victim:
    def __init__(self, stage: Stage, client: AsyncClient, phase: str) -> None:
        self._client = client
        self._key = stage.key_of_b
        self._ingest = stage.stack.services["ingest"].port
        self._query = stage.stack.services["query"].port
        self._probe = f"probe-{phase}-"
        self._due: dict[str, float] = {}
        self._seen_at: dict[str, float] = {}
        self._result = Seen()

    async def run(self, seconds: int, patience_s: float) -> Seen:
        looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds + patience_s):
                await self._write_and_read(seconds)
                while len(self._seen_at) < len(self._due):  # noqa: ASYNC110 - asked of a server
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            pass  # it is told below
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        now = time.monotonic()
        for name, due in self._due.items():
            self._result.visible_s.append(self._seen_at.get(name, now) - due)
        self._result.unseen = len(self._due) - len(self._seen_at)
        return self._result

    async def _write_and_read(self, seconds: int) -> None:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for at in range(seconds):
                await asyncio.sleep(max(0.0, started + at - time.monotonic()))
                group.create_task(self._write(f"{self._probe}{at}", packed=at % 2 == 1))
                await asyncio.sleep(max(0.0, started + at + 0.5 - time.monotonic()))
                group.create_task(self._read(_ALL_DAYS if at % 5 == 4 else ""))

    async def _write(self, name: str, *, packed: bool) -> None:
        self._due[name] = time.monotonic()
        event = {
            "id": name,
            "type": "chat.action",
            "action": name,
            "sessionId": name,
            "conversationId": name,
        }
        request = _post(self._key, event, packed=packed)
        await self._timed(self._result.written_s, self._ingest, request, 202)

    async def _read(self, days: str) -> None:
        await self._timed(self._result.read_s, self._query, _get(self._key, days), 200)

    async def _timed(self, times_s: list[float], port: int, request: bytes, status: int) -> None:
        asked = time.monotonic()
        try:
            await self._patiently(port, request, status)
        finally:
            times_s.append(time.monotonic() - asked)

    async def _patiently(self, port: int, request: bytes, status: int) -> None:
        """Over a new connection each time: that of somebody who was not here before."""
        while True:
            caller = Caller("127.0.0.1", port, _ADDRESS)
            answer = await caller.ask(request, _ANSWERED_WITHIN_S)
            caller.close()
            if answer.status == status:
                return
            self._result.refusals[answer.word] += 1
            await asyncio.sleep(min(answer.retry_after_s, 3.0) or _RETRY_S)

    async def _look(self) -> None:
        """Note which events the rollup holds."""
        parameters = {"project": B, "probe": self._probe}
        while True:
            try:
                found = await self._client.query(_SEEN, parameters=parameters)
                self._note([str(key) for (key,) in found.result_rows])
            except (Error, OSError):
                pass  # it is asked again; what cannot be asked for is not visible
            await asyncio.sleep(_LOOK_EVERY_S)

    def _note(self, keys: Sequence[str]) -> None:
        now = time.monotonic()
        for key in keys:
            self._seen_at.setdefault(key, now)


def _post(key: str, event: dict[str, str], *, packed: bool) -> bytes:
    body = json.dumps(event).encode()
    body, encoding = (gzip.compress(body), "gzip") if packed else (body, "identity")
    head = (
        f"POST /api/v1/projects/{B}/events HTTP/1.1\r\nHost: ingest\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _get(key: str, days: str) -> bytes:
    return (
        f"GET /api/v1/projects/{B}/analytics{days} HTTP/1.1\r\nHost: query\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()
