"""The events of all measurements: sessions as people have them, always the same for a seed.

40 % are messages; a conversation has 4 to 15 events over some minutes, of one of a few projects.
About 250 bytes an event as producers send it.
"""

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

Event = dict[str, Any]

_CAPITAL = re.compile("[A-Z]")

SEED = 20261125
PROJECTS = tuple(f"project-{number}" for number in range(20))
_LANGUAGES = ("de", "en", "fr", "de-AT")
_COUNTRIES = ("DE", "AT", "CH", "FR", "US")
_DEVICES = ("desktop", "mobile", "tablet")
_ACTIONS = tuple(f"action-{number}" for number in range(8))
_SOURCES = tuple(f"source-{number}" for number in range(60))


class Sessions:
    """An endless stream of events in the order in which producers would send them."""

    def __init__(self, seed: int = SEED, until: datetime | None = None) -> None:
        self._chance = random.Random(seed)
        self._now = until or datetime.now(UTC)

    def events(self, number: int, project: str | None = None) -> list[Event]:
        """So many events, of sessions of all projects or of one; `projectId` is not among them."""
        made: list[Event] = []
        while len(made) < number:
            made.extend(event for _, event in self._session(project))
        return made[:number]

    def with_projects(self, number: int) -> list[tuple[str, Event]]:
        """So many events, each with the project it belongs to."""
        made: list[tuple[str, Event]] = []
        while len(made) < number:
            made.extend(self._session(None))
        return made[:number]

    def _session(self, project: str | None) -> Iterator[tuple[str, Event]]:
        chance = self._chance
        project = project or chance.choice(PROJECTS)
        moment = self._now - timedelta(seconds=chance.uniform(600, 7200))
        session = {
            "sessionId": f"s-{self._chance.getrandbits(48):012x}",
            "userType": chance.choice(("public", "public", "logged_in")),
            "language": chance.choice(_LANGUAGES),
            "context": {
                "country": chance.choice(_COUNTRIES),
                "deviceType": chance.choice(_DEVICES),
            },
        }
        if chance.random() < 0.1:
            session["deviceId"] = f"kiosk-{chance.randrange(50)}"
        conversation = f"c-{self._chance.getrandbits(48):012x}"
        for number in range(chance.randint(4, 15)):
            moment += timedelta(seconds=chance.uniform(1, 40))
            event = self._event(number, conversation)
            occurred_at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            yield project, {"id": self._uuid(), "occurredAt": occurred_at, **event, **session}

    def _event(self, number: int, conversation: str) -> Event:
        chance = self._chance
        if number == 0:
            return {"type": "session.started"}
        kind = chance.random()
        if kind < 0.45:
            role = chance.choice(("user", "assistant"))
            return {"type": "chat.message", "conversationId": conversation, "role": role}
        if kind < 0.70:
            cited = chance.sample(_SOURCES, chance.randint(0, 2))
            sources = [{"id": source, "name": f"Source {source}"} for source in cited]
            found = {"conversationId": conversation, "hit": bool(cited), "sources": sources}
            return {"type": "rag.retrieval", **found}
        if kind < 0.90:
            action = chance.choice(_ACTIONS)
            return {"type": "chat.action", "conversationId": conversation, "action": action}
        return {"type": "session.ended", "durationMs": chance.randrange(600_000)}

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


def as_row(project_id: str, event: Event) -> Event:
    """The event as a line of the topic names its fields, for what does no translating."""
    row: Event = {"project_id": project_id, "is_live": True}
    for name, value in event.items():
        if name == "context":
            row |= {"country": value["country"], "device_type": value["deviceType"]}
        else:
            row[_CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)] = value
    return row
