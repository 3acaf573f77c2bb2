"""What the check of the topics asks, and how often."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from libs.settings import ClickHouseSettings, KafkaSettings
from services.admin.doctor.findings import Status
from services.admin.doctor.installation import Installation
from services.admin.doctor.topics import topics
from services.admin.settings import DoctorSettings
from services.admin.statements import statement
from services.admin.topics import topic_configs

SETTINGS = DoctorSettings(
    kafka=KafkaSettings(bootstrap_servers="k:1"),
    clickhouse=ClickHouseSettings.model_validate(
        {"url": "http://c:1", "user": "u", "password": "p"}
    ),
)
NOTED, NAMES = statement("noted_topic"), statement("noted_names")


@dataclass
class Answer:
    result_rows: list[list[Any]]


@dataclass
class Servers:
    """A Kafka with both topics as they are set, or with none, and a ClickHouse that knows them."""

    are_there: bool = True
    asked: list[str] = field(default_factory=list)

    async def query(self, sql: str, parameters: object = None) -> Answer:
        self.asked.append(sql)
        events = SETTINGS.kafka.events_topic
        rows: dict[str, list[list[Any]]] = {NOTED: [[events, 1]], NAMES: [[events]]}
        return Answer(rows.get(sql, []))

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        code = 0 if self.are_there else 3  # UNKNOWN_TOPIC_OR_PARTITION
        partition = {"partition": 0, "replicas": [1], "isr": [1]}
        return [{"topic": name, "error_code": code, "partitions": [partition]} for name in names]

    async def describe_cluster(self) -> dict[str, list[int]]:
        return {"brokers": [1]}

    async def describe_configs(self, resources: list[Any]) -> list[Any]:
        name = resources[0].name
        configs = topic_configs(SETTINGS.kafka, SETTINGS.topics)[name]
        entries = [(one, value, False, 1) for one, value in configs.items()]
        return [SimpleNamespace(resources=[(0, "", 2, name, entries)])]


class Faked(Installation):
    def __init__(self, servers: Servers) -> None:
        super().__init__(SETTINGS, AsyncExitStack())
        self._servers = servers

    async def clickhouse(self) -> Any:
        return self._servers

    async def kafka(self) -> Any:
        return self._servers


async def test_what_was_noted_of_the_topic_is_asked_once_when_all_is_well() -> None:
    servers = Servers()
    assert (await topics(Faked(servers))).status is Status.OK
    assert servers.asked.count(NOTED) == 1


async def test_what_was_noted_of_the_topic_is_asked_once_when_it_is_missing() -> None:
    servers = Servers(are_there=False)
    found = await topics(Faked(servers))
    assert (found.status, found.seen) == (Status.FAIL, "not there: events, events.dead-letter")
    assert servers.asked.count(NOTED) == 1
