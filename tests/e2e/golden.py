"""The golden day as tests read it: what is sent, and the answers that were worked out by hand."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.model import Event, Row, Sent
from tests.e2e.stack import Project, Stack

_FOLDER = Path(__file__).parent / "golden_day"
_WRITTEN_LAST_DAY = date(2026, 3, 4)
_DAYS_AGO = 8
_DATE = re.compile(r"^\d{4}-\d\d-\d\d")

DEVICES = (None, "lobby-kiosk", "garden-kiosk")


@dataclass(frozen=True)
class Request:
    """One request of the golden day; `body`: single, array or ndjson."""

    project: str
    by_test_key: bool
    user_agent: str
    body: str
    events: list[Event]


@dataclass(frozen=True)
class GoldenDay:
    """The requests in order, and the answers in all categories with `live=false`."""

    first_day: date
    last_day: date
    requests: list[Request]
    answers: dict[tuple[str, str | None], list[Row]]
    source_names: dict[str, dict[str, str]]
    counted: dict[str, int]
    repeated: int

    def sent(self, project: str) -> list[Sent]:
        """All events of a project, in order."""
        return [
            Sent(event, request.by_test_key, request.user_agent)
            for request in self.requests
            if request.project == project
            for event in request.events
        ]

    def send(self, stack: Stack) -> dict[str, Project]:
        """Send all of it; the new projects that got it, by the names in the files."""
        names = list(self.counted)
        projects = dict(zip(names, stack.new_projects(len(names)), strict=True))
        for request in self.requests:
            _send(stack, projects[request.project], request)
        return projects


def _send(stack: Stack, project: Project, request: Request) -> None:
    media_type, body = _body(request)
    key = project.test_key if request.by_test_key else project.live_key
    response = stack.http.post(
        stack.events_url(project.id),
        content=body,
        headers={
            "Authorization": f"Bearer {key}",
            "Content-Type": media_type,
            "User-Agent": request.user_agent,
        },
    )
    assert response.status_code == 202, response.text
    told = response.json()
    assert (told["accepted"], told["rejected"]) == (len(request.events), [])


def _body(request: Request) -> tuple[str, str]:
    if request.body == "ndjson":
        return "application/x-ndjson", "\n".join(map(json.dumps, request.events))
    single = request.body == "single"
    return "application/json", json.dumps(request.events[0] if single else request.events)


def read_golden_day() -> GoldenDay:
    """The golden day with its Wednesday eight days ago."""
    last_day = datetime.now(UTC).date() - timedelta(days=_DAYS_AGO)
    shift = last_day - _WRITTEN_LAST_DAY
    sent = yaml.safe_load((_FOLDER / "sent.yaml").read_text("utf-8"))
    given = yaml.safe_load((_FOLDER / "answer.yaml").read_text("utf-8"))
    projects = list(given["counted"])
    return GoldenDay(
        first_day=last_day - timedelta(days=2),
        last_day=last_day,
        requests=[_request(request, shift) for request in sent["requests"]],
        answers={
            (project, device): _rows(given[project].get(device or "all devices", {}), shift)
            for project in projects
            for device in DEVICES
        },
        source_names={project: given[project]["source_names"] for project in projects},
        counted=given["counted"],
        repeated=given["repeated"],
    )


def _request(request: dict[str, Any], shift: timedelta) -> Request:
    return Request(
        project=request["project"],
        by_test_key=request["key"] == "test",
        user_agent=request["user_agent"],
        body=request["body"],
        events=[
            event | {"occurredAt": _moved(event["occurredAt"], shift)}
            for event in request["events"]
        ],
    )


def _moved(occurred_at: str, shift: timedelta) -> str:
    """The same time of day and zone on the moved day."""
    return _DATE.sub(lambda day: str(date.fromisoformat(day[0]) + shift), occurred_at)


def _rows(days: dict[date, list[list[Any]]], shift: timedelta) -> list[Row]:
    return [
        {
            "date": str(day + shift),
            "category": category,
            "key": key,
            "value": value,
            "isLive": {"live": True, "test": False}[mode],
        }
        for day, rows in days.items()
        for category, key, value, mode in rows
    ]
