"""What the tests of bad input share: headers, a plain event, odd texts, what every refusal has."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.e2e.model import Event

_RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

STRANGE_TEXTS = (
    "nul \0 inside",
    "🦖",
    "\u202eright to left",
    "' OR 1=1 --",
    "{x:String}",
    "a\tb\nc",
    "%2F%00",
    "\\N",
)


def message(event_id: str, **fields: Any) -> Event:
    return {
        "id": event_id,
        "type": "chat.message",
        "sessionId": "s-1",
        "conversationId": "c-1",
        "role": "user",
    } | fields


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def assert_problem(response: httpx.Response, status: int, code: str | None = None) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert code in (None, problem["code"])
    assert problem["code"] == problem["code"].lower()


def assert_rate_headers(response: httpx.Response) -> None:
    limit, remaining, reset = (int(response.headers[name]) for name in _RATE_HEADERS)
    assert 0 <= remaining <= limit
    now = datetime.now(UTC)
    assert now.timestamp() - 2 <= reset <= (now + timedelta(seconds=62)).timestamp()
