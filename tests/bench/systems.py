"""Two ways from HTTP to visible counts, as one whole each: ours, and the bare versions together."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import clickhouse_connect
import httpx
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from clickhouse_connect.driver.client import Client

from services.admin.settings import TopicSettings
from tests.bench.load import Load, Report, send
from tests.bench.peers.running import App, peer_database, running_loop
from tests.e2e.stack import Project, Stack
from tests.e2e.waiting import wait_until
from tests.servers import Servers

PARTITIONS = TopicSettings().partitions
COUNTED_WITHIN_S = 600.0
_CLIENTS, _A_REQUEST = 8, 500


@dataclass(frozen=True)
class System:
    """Ours or the bare versions: where to send to, where to look what is counted, who works."""

    name: str
    load: Load
    database: Client
    pids: dict[str, int]

    def counted(self) -> int:
        """How many events its raw table holds."""
        rows = self.database.query("SELECT count() FROM events").result_rows
        return int(rows[0][0])

    def wait_until_counted(self, events: int) -> None:
        """Return when so many are there."""
        wait_until(lambda: self.counted() >= events, "all is counted", COUNTED_WITHIN_S)

    def send(
        self, *, seconds: float | None = None, events: int | None = None, rate: float | None = None
    ) -> Report:
        """Send for so long or so much, at a rate (events/s) or as fast as it is taken."""
        return send(replace(self.load, seconds=seconds, events=events, rate=rate))


@contextmanager
def our_system(real: Servers, stack: Stack, project: Project) -> Iterator[System]:
    pids = {name: stack.services[name].pid for name in ("ingest", "processor")}
    load = Load([stack.events_url(project.id)], [project.live_key], _A_REQUEST, _CLIENTS)
    database = stack.environment["RAGTIME_CLICKHOUSE__DATABASE"]
    with _client(real, database) as client:
        yield System("ours", load, client, real.pids | pids)


@contextmanager
def bare_system(real: Servers, stack: Stack, folder: Path) -> Iterator[System]:
    topic = f"{stack.topics.events}_bare"
    asyncio.run(_make_topic(real, topic))
    app = App(stack, topic, folder / "bare.log")
    app.start()
    try:
        app.wait_until_ready()
        with (
            running_loop(real, stack, topic) as loop,
            _client(real, peer_database(stack)) as client,
        ):
            loop.copy_endlessly(PARTITIONS)
            pids = real.pids | {"app": app.pid, "loop": loop.pid}
            load = Load([f"{app.url}/"], [""], _A_REQUEST, _CLIENTS, as_rows=True)
            yield System("bare", load, client, pids)
    finally:
        app.kill()


async def _make_topic(real: Servers, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=real.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await admin.close()


@contextmanager
def _client(real: Servers, database: str) -> Iterator[Client]:
    address = httpx.URL(real.clickhouse_url)
    client: Client = clickhouse_connect.get_client(
        host=address.host,
        port=address.port or 8123,
        username=real.admin.user,
        password=real.admin.password,
        database=database,
        autogenerate_session_id=False,
    )
    yield client
    client.close()
