"""Ingest in this process, with a Kafka in memory and keys that the tests name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from clickhouse_connect.driver.asyncclient import AsyncClient
from fastapi import FastAPI
from pydantic import SecretStr

from libs.access.api_keys import ApiKey, Mode, Scope, generate_key, hash_key
from libs.access.key_store import KeyStore
from libs.settings import AccessSettings, ClickHouseSettings, KafkaSettings
from services.ingest.app import build
from services.ingest.publisher import Publisher
from services.ingest.settings import BodySettings, PublishSettings, Settings
from tests.fakes_kafka import FakeKafka
from tests.fakes_keys import keep
from tests.golden_events import ACCEPTED_AT, PROJECT
from tests.polling import until

_PEPPER = "p" * 32
_ALL_SCOPES = frozenset(Scope)

PATH = f"/api/v1/projects/{PROJECT}/events"


def settings_of(**more: Any) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        clickhouse=ClickHouseSettings(
            url="http://127.0.0.1:1", user="ingest", password=SecretStr("secret")
        ),
        access=AccessSettings(pepper=SecretStr(_PEPPER)),
        **more,
    )


@dataclass
class Keys:
    """Keys by what they may do, as a producer shows them."""

    store: KeyStore
    stored: list[ApiKey] = field(default_factory=list)

    def add(
        self,
        mode: Mode = Mode.LIVE,
        project_id: str = PROJECT,
        scopes: frozenset[Scope] = _ALL_SCOPES,
        revoked_at: datetime | None = None,
        events_per_minute: int | None = None,
    ) -> dict[str, str]:
        """The header that shows a new key."""
        text = generate_key(mode)
        self.stored.append(
            ApiKey(
                id=f"key-{len(self.stored)}",
                key_hash=hash_key(text, _PEPPER.encode()),
                project_id=project_id,
                mode=mode,
                scopes=scopes,
                rate_per_minute=1,  # the analytics' rate: it must not limit ingest
                label="",
                created_at=ACCEPTED_AT,
                expires_at=None,
                revoked_at=revoked_at,
                events_per_minute=events_per_minute,
            )
        )
        keep(self.store.snapshot, self.stored)
        return {"Authorization": f"Bearer {text}"}


@dataclass
class Service:
    """The running service and what surrounds it."""

    http: httpx.AsyncClient
    kafka: FakeKafka
    keys: Keys
    app: FastAPI


@asynccontextmanager
async def service(
    *, body: BodySettings | None = None, publish: PublishSettings | None = None, **more: Any
) -> AsyncIterator[Service]:
    """Ingest, ready to be asked."""
    settings = settings_of(body=body or BodySettings(), **more)
    kafka = FakeKafka()
    store = KeyStore(settings.access)
    publish = publish or PublishSettings(linger_ms=0, timeout_s=0.2)
    publisher = Publisher(kafka.topic, publish, kafka.make_producer, share=0.5)
    app = build(settings, store, publisher, _never_connect, lambda: ACCEPTED_AT)
    transport = httpx.ASGITransport(app, client=("8.8.8.8", 40_000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://ingest") as http,
    ):
        await until(lambda: publisher.is_ready)
        yield Service(http, kafka, Keys(store), app)


async def _never_connect() -> AsyncClient:
    await asyncio.Event().wait()
    raise AssertionError
