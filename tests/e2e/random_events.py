"""Random events of a lively project: a few days, both modes, devices, repeats, odd letters."""

import random
from datetime import UTC, datetime, timedelta

from tests.e2e.model import Event

DEVICES = ("lobby-kiosk", "garden-kiosk", "Θήκη 🏛️")
_LANGUAGES = ("de", "de-AT", "en", "EN-gb", "fr", None)
_COUNTRIES = ("DE", "at", "CH", "unknown", None)
_DEVICE_TYPES = ("desktop", "mobile", "tablet", "unknown", None)
_ODD_LANGUAGES = ("en_US", "de-CH,de;q=0.9,en;q=0.8", "x-museum", "plain English", "", 7)
_ODD_COUNTRIES = ("XX", "T1", "UK", "EU", "Austria", "", 7)
_ODD_DEVICE_TYPES = ("Desktop", "TABLET", "phone", "", 7)
_ODD_DEVICES = ("", 7)
_ODD_ENDS = ("23:59:59.9999999Z", "23:59:59.999500Z", "23:59:60Z", "23:59:60.5Z")
_ACTIONS = ("book-ticket", "show-map", "hilfe-für-alle", "🛟")
_SOURCES = ("src-1", "src-2", "src-3", "quelle ä", "_events", "total")
_TYPES = (
    "chat.message",
    "chat.message",
    "chat.message",
    "chat.action",
    "rag.retrieval",
    "rag.retrieval",
    "session.started",
    "session.ended",
)
_DAYS = 6


class RandomEvents:
    """Makes events. All of a conversation bear its name, so that one client can send them all.

    `odd`: some with descriptions that cannot be understood, or in the last instant of a day.
    """

    def __init__(self, seed: int, name: str, conversations: int, *, odd: bool = False) -> None:
        self._odd = odd
        self._chance = random.Random(f"{seed}-{name}")
        self._name = name
        self._conversations = conversations
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._first_midnight = today - timedelta(days=_DAYS)
        self._made = 0

    def make(self, number: int) -> list[Event]:
        """So many new events."""
        return [self._event() for _ in range(number)]

    def _event(self) -> Event:
        chance = self._chance
        self._made += 1
        kind = chance.choice(_TYPES)
        conversation = f"{self._name}-{chance.randrange(self._conversations)}"
        moment = self._first_midnight + timedelta(
            milliseconds=chance.randrange(_DAYS * 24 * 3600 * 1000)
        )
        event: Event = {
            "id": f"{self._name}-{self._made}",
            "type": kind,
            "occurredAt": moment.isoformat(timespec="milliseconds"),
            "sessionId": f"s-{conversation}",
            "userType": chance.choice(("public", "public", "logged_in")),
            "language": chance.choice(_LANGUAGES),
            "deviceId": chance.choice((*DEVICES, None)),
            "live": chance.choice((None, None, None, False)),
            **self._fields(kind),
        }
        if not kind.startswith("session."):
            event["conversationId"] = f"c-{conversation}"
        return self._spoilt(event) if self._odd and chance.random() < 0.5 else event

    def _spoilt(self, event: Event) -> Event:
        chance = self._chance
        if chance.random() < 0.5:
            event["occurredAt"] = f"{event['occurredAt'][:11]}{chance.choice(_ODD_ENDS)}"
        if chance.random() < 0.3:
            event["deviceId"] = chance.choice(_ODD_DEVICES)
        if "context" in event:
            context = (chance.choice(_ODD_COUNTRIES), chance.choice(_ODD_DEVICE_TYPES))
            event["context"] = dict(zip(("country", "deviceType"), context, strict=True))
        return event | {"language": chance.choice(_ODD_LANGUAGES), "museum": "a field of its own"}

    def _fields(self, kind: str) -> Event:
        chance = self._chance
        if kind == "chat.message":
            return {"role": chance.choice(("user", "assistant"))}
        if kind == "chat.action":
            return {"action": chance.choice(_ACTIONS)}
        if kind == "rag.retrieval":
            cited = chance.choices(_SOURCES, k=chance.randint(0, 3))
            return {"hit": chance.random() < 0.7, "sources": [{"id": one} for one in cited]}
        if kind == "session.started":
            country, device_type = chance.choice(_COUNTRIES), chance.choice(_DEVICE_TYPES)
            return {"context": {"country": country, "deviceType": device_type}}
        return {"durationMs": chance.randint(0, 3_600_000)}
