"""What is looked at: the settings, and a client of each server, which all checks share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.connection import connect
from libs.kafka.bootstrap import bootstrap_error
from services.admin.settings import DoctorSettings
from services.admin.topics import admin_client


class Installation:
    """Connects when a check asks first; where that fails, it fails for all that ask."""

    def __init__(self, settings: DoctorSettings, closing: AsyncExitStack) -> None:
        self.settings = settings
        self._closing = closing
        self._clickhouse: asyncio.Task[AsyncClient] | None = None
        self._kafka: asyncio.Task[AIOKafkaAdminClient] | None = None

    async def clickhouse(self) -> AsyncClient:
        """A client of our database. Raises the driver's `Error`."""
        self._clickhouse = self._clickhouse or asyncio.ensure_future(self._connect())
        return await asyncio.shield(self._clickhouse)

    async def kafka(self) -> AIOKafkaAdminClient:
        """A client for topics and groups. Raises KafkaError, with its cause where none answers."""
        self._kafka = self._kafka or asyncio.ensure_future(self._start())
        return await asyncio.shield(self._kafka)

    async def _connect(self) -> AsyncClient:
        client = await connect(self.settings.clickhouse)
        self._closing.push_async_callback(client.close)
        return client

    async def _start(self) -> AIOKafkaAdminClient:
        kafka = self.settings.kafka
        try:
            return await self._closing.enter_async_context(admin_client(kafka))
        except KafkaConnectionError as error:
            raise error from await bootstrap_error(kafka)

    async def give_up(self) -> None:
        """Nobody waits any more for what has not connected."""
        for task in (self._clickhouse, self._kafka):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def installation(settings: DoctorSettings) -> AsyncIterator[Installation]:
    """An installation to look at; what was connected is closed."""
    async with AsyncExitStack() as closing:
        found = Installation(settings, closing)
        closing.push_async_callback(found.give_up)
        yield found
