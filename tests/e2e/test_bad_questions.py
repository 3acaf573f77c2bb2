"""Odd and wrong questions to the analytics endpoint: an answer or a 400, never a 422 or a 500."""

import httpx
import pytest

from tests.e2e.asking import STRANGE_TEXTS, assert_problem, assert_rate_headers, bearer
from tests.e2e.stack import Project, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("from=2026-02-30", "invalid_date"),
        ("to=2026-13-01", "invalid_date"),
        ("from=26-01-01", "invalid_date"),
        ("from=2026-1-1", "invalid_date"),
        ("from=20260101", "invalid_date"),
        ("from=2026-W01-1", "invalid_date"),
        ("from=yesterday", "invalid_date"),
        ("from=2026-01-01T00:00:00Z", "invalid_date"),
        ("from=2026-01-01%00", "invalid_date"),
        ("from=٢٠٢٦-٠١-٠١", "invalid_date"),
        ("from=2026-01-02&to=2026-01-01", "invalid_range"),
        ("device_id=kiosk", "unknown_parameter"),
        ("From=2026-03-01", "unknown_parameter"),
        ("category=users", "unknown_category"),
        ("category=Usage", "unknown_category"),
        ("category=_events", "unknown_category"),
        ("live=maybe", "invalid_live"),
        ("live=1", "invalid_live"),
        ("live=true&live=true", "repeated_parameter"),
        ("category=usage&category=rag", "repeated_parameter"),
        (f"deviceId={'x' * 129}", "invalid_device_id"),
    ],
)
def test_question_is_refused_when_a_parameter_is_wrong(
    stack: Stack, project: Project, query: str, code: str
) -> None:
    response = stack.http.get(
        f"{stack.analytics_url(project.id)}?{query}", headers=bearer(project.live_key)
    )

    assert_problem(response, 400, code)
    assert_rate_headers(response)


@pytest.mark.parametrize(
    "query",
    [
        "live=FALSE",
        "live=True",
        "unknown=parameter",
        "unknown=1&unknown=2",
        "from=&to=&category=&live=&deviceId=",
        "from=2199-01-01",
        "from=0001-01-01&to=0001-01-02",
        "to=0001-01-01",
        "to=9999-12-31",
        "from=2024-01-01&to=2026-03-10",
        "from=1969-12-31&to=1970-01-01",
        *(
            f"deviceId={httpx.QueryParams({'d': text})}".replace("d=", "", 1)
            for text in STRANGE_TEXTS
        ),
        "deviceId=%ff%fe",
    ],
)
def test_question_is_answered_when_it_is_only_odd(
    stack: Stack, project: Project, query: str
) -> None:
    response = stack.http.get(
        f"{stack.analytics_url(project.id)}?{query}", headers=bearer(project.live_key)
    )

    assert response.status_code == 200, response.text
    assert_rate_headers(response)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/projects", 404),
        ("GET", "/api/v2/projects/p/analytics", 404),
        ("POST", "/api/v1/projects/p/analytics", 405),
        ("DELETE", "/api/v1/projects/p/events", 404),
    ],
)
def test_path_is_refused_as_a_problem_when_query_does_not_have_it(
    stack: Stack, method: str, path: str, status: int
) -> None:
    response = stack.http.request(method, f"{stack.services['query'].url}{path}")

    assert_problem(response, status)
