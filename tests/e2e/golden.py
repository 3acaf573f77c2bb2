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
    """One request of the golden day; `body`: single, array or ndjson.

    `warnings`: what the answer warns of, an event's index and a field each.
    """

    project: str
    by_test_key: bool
    user_agent: str
    body: str
    events: list[Event]
    warnings: list[tuple[int, str]]

    def sent(self) -> list[Sent]:
        """Its events."""
        return [Sent(event, self.by_test_key, self.user_agent) for event in self.events]


@dataclass(frozen=True)
class GoldenDay:
    """The requests in order, and the answers in all categories with `live=false`.

    `source_names`: by project, and whether live rows alone are asked for.
    """

    first_day: date
    last_day: date
    requests: list[Request]
    answers: dict[tuple[str, str | None], list[Row]]
    source_names: dict[tuple[str, bool], dict[str, str]]
    counted: dict[str, int]
    repeated: int

    def sent(self, project: str) -> list[Sent]:
        """All events of a project, in order."""
        own = (request for request in self.requests if request.project == project)
        return [one for request in own for one in request.sent()]

    def new_projects(self, stack: Stack) -> dict[str, Project]:
        """Projects to send it to, by the names in the files."""
        return dict(zip(self.counted, stack.new_projects(len(self.counted)), strict=True))

    def send(self, stack: Stack) -> dict[str, Project]:
        """Send all of it to new projects, which are returned."""
        projects = self.new_projects(stack)
        self.send_to(stack, projects)
        return projects

    def send_to(self, stack: Stack, projects: dict[str, Project]) -> None:
        """Send all of it, in order."""
        for request in self.requests:
            _send(stack, projects[request.project], request)


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
    warned = [(one["index"], one["field"]) for one in told.get("warnings", ())]
    assert warned == request.warnings


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
        source_names={
            (project, live_only): given[project]["source_names"][modes]
            for project in projects
            for live_only, modes in ((True, "live"), (False, "live and test"))
        },
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
        warnings=[(index, field) for index, field in request.get("warnings", ())],
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
