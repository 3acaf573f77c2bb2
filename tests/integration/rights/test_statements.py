"""What services really send is what the doctor tries: the same texts, with the same settings."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any, cast

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.key_store import KeyStore
from libs.access.key_uses import KeyUses
from libs.clickhouse.connection import connect
from libs.clickhouse.kept_days import NOTED
from libs.clickhouse.migrations import wait_until_countable
from libs.settings import AccessSettings, ClickHouseSettings, KafkaSettings
from services.admin.doctor.statements import STATEMENTS
from services.ingest.app import _keep_keys
from services.processor.topic import EventsTopic
from services.query.database import Database
from services.query.questions import Question
from services.query.settings import QuerySettings
from services.query.statements import counts, source_names
from tests.integration.processor.agents import agent_of, message
from tests.polling import until
from tests.unit.services.processor.events import indexed_at

pytestmark = pytest.mark.integration

Sent = tuple[str, str]  # a text or a table, and the settings with it
_OF_CALLS = ("query", "raw_query", "raw_stream", "command", "raw_insert")


class Recorded:
    """A client that notes what it is asked, with the settings of its own and of the statement."""

    def __init__(self, client: AsyncClient, seen: set[Sent], sent: Mapping[str, Any]) -> None:
        self._client, self._seen, self._sent = client, seen, sent

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name not in _OF_CALLS:
            return found

        async def noted(text: str, *given: Any, **more: Any) -> Any:
            self._seen.add(_sent(text, self._sent, more.get("settings") or {}))
            return await found(text, *given, **more)

        return noted


def _sent(text: str, sent: Mapping[str, Any], settings: Mapping[str, Any]) -> Sent:
    """Without what is of one call: the comment of an insert names its partitions."""
    told = {name: "" if name == "log_comment" else value for name, value in settings.items()}
    return text.strip(), json.dumps([dict(sent), told], sort_keys=True)


def _listed(service: str) -> set[Sent]:
    return {_sent(one.table or one.sql, one.sent, one.settings) for one in STATEMENTS[service]}


def _unlisted(seen: set[Sent], service: str, database: str | None) -> set[Sent]:
    """What was sent and is not tried."""
    texts = {(text.replace(f"{database}.", ""), settings) for text, settings in seen}
    return texts - _listed(service)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _keys() -> KeyStore:
    """A key was shown, and is noted soon."""
    keys = KeyStore(AccessSettings.model_validate({"pepper": "p" * 32}))
    keys.uses = KeyUses(interval_s=0.05)
    keys.uses.note("key", datetime.now(UTC))
    keys.uses.answered("key", 202, 0)
    return keys


def _texts(seen: set[Sent]) -> set[str]:
    return {text for text, _ in seen}


def _has_written_uses(seen: set[Sent]) -> bool:
    return {"key_uses", "key_activity"} <= _texts(seen)


async def test_ingest_sends_what_is_tried(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    seen: set[Sent] = set()

    async def connected() -> AsyncClient:
        return cast("AsyncClient", Recorded(await connect(clickhouse_settings), seen, {}))

    async with _running(_keep_keys(connected, clickhouse_settings.database, _keys())):
        await until(lambda: _has_written_uses(seen))

    assert len(seen) >= 5
    assert _unlisted(seen, "ingest", clickhouse.database) == set()


async def test_query_sends_what_is_tried(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    seen: set[Sent] = set()

    async def connected(sent: Mapping[str, str]) -> AsyncClient:
        client = await connect(clickhouse_settings, sent=sent)
        return cast("AsyncClient", Recorded(client, seen, sent))

    database = Database(connected, clickhouse_settings.database, QuerySettings(), share=0.5)
    keys = _keys()
    day = date(2026, 3, 25)
    async with _running(database.run()):
        own = await database.own_client()
        async with _running(keys.run(own)), _running(keys.uses.run(own, "query")):
            for device in (None, "d"):
                question = Question("p", day, day, None, live_only=True, device_id=device)
                async with database.session("key") as session:
                    for is_small in (True, False):
                        await session.rows(counts(question), if_small=is_small)
                        await session.rows(source_names(question), if_small=is_small)
            await until(lambda: _has_written_uses(seen) and NOTED in _texts(seen))
    await database.close()

    assert len(seen) >= 13
    assert _unlisted(seen, "query", clickhouse.database) == set()


async def test_processor_sends_what_is_tried(clickhouse: AsyncClient) -> None:
    seen: set[Sent] = set()
    recorded = cast("AsyncClient", Recorded(clickhouse, seen, {}))
    now = datetime.now(UTC)

    await wait_until_countable(recorded, str(clickhouse.database))
    await EventsTopic(KafkaSettings(bootstrap_servers="k:1"), recorded).read_noted()
    agent = agent_of(recorded)
    await agent.take_over({0})
    late = message("late", occurred_at="2026-03-25T12:00:00Z")
    await agent.process([indexed_at(message("a"), late, offset=0, at=now)])
    await clickhouse.command("TRUNCATE TABLE daily_counts")
    await agent.take_over({0})  # it mends

    assert len(seen) >= 12
    assert _unlisted(seen, "processor", clickhouse.database) == set()
