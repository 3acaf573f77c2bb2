"""What a user's address and user agent are used for, and that nothing of them is kept anywhere."""

import pytest

from tests.e2e.asking import bearer, message
from tests.e2e.stack import Project, Stack

pytestmark = pytest.mark.e2e

ADDRESS = "8.8.4.4"
USER_AGENT = "Mozilla/5.0 (iPad; told by nobody) Version/17.5 Mobile/15E148 Safari/604.1"
CALLERS_USER_AGENT = "museum-website/7.7 (a server that nobody names)"


@pytest.fixture(scope="module")
def told(stack: Stack, project: Project) -> list[str]:
    """All that the system has kept, published or logged of an event with address and user agent."""
    context = {"ip": ADDRESS, "userAgent": USER_AGENT}
    broken = message("broken", type="chat.action", action=7, context=context)
    response = stack.http.post(
        stack.events_url(project.id),
        json=[message("start", type="session.started", context=context), broken],
        headers=bearer(project.live_key) | {"User-Agent": CALLERS_USER_AGENT},
    )
    assert response.json()["accepted"] == 1
    stack.wait_until_counted()
    rows = stack.database.raw_query(
        "SELECT * FROM events WHERE project_id = {project:String}",
        parameters={"project": project.id},
        fmt="JSONEachRow",
    )
    records = [value for value in stack.topics.read_events() if project.id.encode() in value]
    logs = [service.log.read_bytes() for service in stack.services.values()]
    assert rows
    assert records
    return [text.decode("utf-8", errors="replace") for text in (rows, *records, *logs)]


def test_country_and_device_type_are_counted_when_address_and_user_agent_are_sent(
    stack: Stack, project: Project, told: list[str]
) -> None:
    assert told
    rows = stack.analytics(project)["stats"]
    assert [row["key"] for row in rows if row["category"] == "country"] == ["US"]
    assert [row["key"] for row in rows if row["category"] == "device"] == ["tablet"]


@pytest.mark.parametrize("secret", [ADDRESS, "iPad", "Safari", "museum-website"])
def test_address_and_user_agent_are_nowhere_when_an_event_was_counted(
    told: list[str], secret: str
) -> None:
    assert not [text for text in told if secret in text]


def test_key_is_in_no_log_when_it_was_used(project: Project, told: list[str]) -> None:
    assert not [text for text in told if project.live_key in text]
