"""A demo: two weeks of a museum's assistant, sent through the ingest API as any producer would.

Reads RT_INGEST_URL, RT_QUERY_URL, RT_PROJECT, RT_LIVE_KEY and RT_TEST_KEY from the environment.
"""

import random
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import httpx
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console
from rich.progress import track

from libs.settings import load_settings

Event = dict[str, Any]

_A_REQUEST = 500
_COUNTED_WITHIN_S = 90
# Well under the 30 requests a minute that a key may send.
_POLL_S = 3.0

_SOURCES = {"src-1": "Visitor guide", "src-2": "Opening hours", "src-3": "Floor plan", "src-4": ""}
_ACTIONS = ("book-ticket", "show-map", "call-staff")
_DEVICES = ("lobby-kiosk", "garden-kiosk", None, None)
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/139.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0",
)
_LANGUAGES = ("de", "de", "en", "en-GB", "fr", "it")
_COUNTRIES = ("DE", "DE", "AT", "CH", "FR", "US")


class DemoError(Exception):
    """The demo could not be sent or was not counted in time; the text says why."""


class DemoSettings(BaseSettings):
    """Where to send, where to ask, and with which keys."""

    model_config = SettingsConfigDict(env_prefix="RT_", frozen=True)

    ingest_url: str
    query_url: str
    project: str
    live_key: SecretStr
    test_key: SecretStr = Field(description="its events are test traffic, whatever they say")


def demo_events(days: int, sessions: int, now: datetime, chance: random.Random) -> list[Event]:
    """The events of `sessions` sessions on each of the last `days` days, in order of time."""
    events: list[Event] = []
    for day in range(days):
        midnight = (now - timedelta(days=day)).replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(sessions):
            start = midnight + timedelta(seconds=chance.uniform(0, 86_000))
            if start < now - timedelta(minutes=15):
                events += session(start, chance)
    return sorted(events, key=lambda event: str(event["occurredAt"]))


def session(start: datetime, chance: random.Random) -> Iterator[Event]:
    """One visitor's session: a start, a conversation with retrievals and clicks, an end."""
    visitor = {
        "sessionId": f"s-{uuid.UUID(int=chance.getrandbits(128))}",
        "userType": chance.choice(("public", "public", "public", "logged_in")),
        "language": chance.choice(_LANGUAGES),
        "deviceId": chance.choice(_DEVICES),
        "context": {"userAgent": chance.choice(_AGENTS), "country": chance.choice(_COUNTRIES)},
    }
    conversation = {"conversationId": f"c-{uuid.UUID(int=chance.getrandbits(128))}"}
    moment = start

    def event(kind: str, **fields: object) -> Event:
        nonlocal moment
        moment += timedelta(seconds=chance.uniform(1, 30))
        occurred_at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "id": str(uuid.UUID(int=chance.getrandbits(128))),
            "type": kind,
            "occurredAt": occurred_at,
            **visitor,
            **fields,
        }

    yield event("session.started")
    for _ in range(chance.randint(1, 5)):
        yield event("chat.message", role="user", **conversation)
        yield event("rag.retrieval", **_retrieval(chance), **conversation)
        yield event("chat.message", role="assistant", **conversation)
    if chance.random() < 0.4:
        yield event("chat.action", action=chance.choice(_ACTIONS), **conversation)
    if chance.random() < 0.9:
        yield event("session.ended", durationMs=round((moment - start).total_seconds() * 1000))


def _retrieval(chance: random.Random) -> Event:
    cited = chance.sample(sorted(_SOURCES), chance.randint(0, 2))
    named = [
        {"id": name, "name": _SOURCES[name]} if _SOURCES[name] else {"id": name} for name in cited
    ]
    return {"hit": bool(cited), "sources": named}


def run_demo(days: int, sessions: int) -> None:
    """Send the demo and wait until the analytics endpoint has counted it. Raises DemoError."""
    settings = load_settings(DemoSettings)
    chance = random.Random()  # noqa: S311 - demo data; each run adds more
    now = datetime.now(UTC)
    live = demo_events(days, sessions, now, chance)
    test = demo_events(days, max(1, sessions // 10), now, chance)
    try:
        with httpx.Client(timeout=30, trust_env=False) as client:
            before = _user_messages(client, settings, days)
            for key, events in ((settings.live_key, live), (settings.test_key, test)):
                _send(client, settings, key.get_secret_value(), events)
            sent = sum(event.get("role") == "user" for event in live)
            _wait_until_counted(client, settings, days, before + sent)
    except httpx.HTTPError as error:
        raise DemoError(f"{type(error).__name__} at {error.request.url}") from error
    Console().print(f"sent {len(live)} live and {len(test)} test events, all counted")


def _send(client: httpx.Client, settings: DemoSettings, key: str, events: list[Event]) -> None:
    url = f"{settings.ingest_url}/api/v1/projects/{settings.project}/events"
    waiting = iter(events)
    portions = [list(islice(waiting, _A_REQUEST)) for _ in range(0, len(events), _A_REQUEST)]
    for portion in track(portions, description=f"sending {len(events)} events"):
        answer = _post(client, url, key, portion)
        while answer.status_code == 429:  # more than the key may write at once
            time.sleep(int(answer.headers["Retry-After"]))
            answer = _post(client, url, key, portion)
        if answer.status_code != 202 or answer.json()["rejected"]:
            raise DemoError(f"ingest answered {answer.status_code}: {answer.text[:300]}")


def _post(client: httpx.Client, url: str, key: str, events: list[Event]) -> httpx.Response:
    return client.post(url, json=events, headers={"Authorization": f"Bearer {key}"})


def _user_messages(client: httpx.Client, settings: DemoSettings, days: int) -> int:
    today = datetime.now(UTC).date()
    answer = client.get(
        f"{settings.query_url}/api/v1/projects/{settings.project}/analytics",
        params={"from": str(today - timedelta(days=days)), "category": "usage"},
        headers={"Authorization": f"Bearer {settings.live_key.get_secret_value()}"},
    )
    if answer.status_code != 200:
        raise DemoError(f"query answered {answer.status_code}: {answer.text[:300]}")
    return sum(row["value"] for row in answer.json()["stats"])


def _wait_until_counted(
    client: httpx.Client, settings: DemoSettings, days: int, expected: int
) -> None:
    deadline = time.monotonic() + _COUNTED_WITHIN_S
    while (counted := _user_messages(client, settings, days)) < expected:
        if time.monotonic() > deadline:
            raise DemoError(f"counted {counted} of {expected} user messages in time; see the logs")
        time.sleep(_POLL_S)
