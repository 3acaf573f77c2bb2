"""Nothing lost and nothing doubled when several clients send at once and repeat themselves."""

import pytest

from tests.e2e.model import answer, source_names
from tests.e2e.random_events import DEVICES
from tests.e2e.stack import Project, Stack
from tests.e2e.traffic import Traffic, make_traffic, send_traffic

pytestmark = pytest.mark.e2e

EVENTS = 20_000


@pytest.fixture(scope="module")
def traffic(stack: Stack, project: Project) -> Traffic:
    """What four clients sent, all of it counted."""
    traffic = make_traffic(seed=3, events=EVENTS)
    accepted = send_traffic(stack.events_url(project.id), project.live_key, traffic)
    stack.wait_until_counted()
    assert accepted == EVENTS + traffic.repeated
    return traffic


def test_each_event_is_one_row_when_four_clients_repeat_themselves(
    stack: Stack, project: Project, traffic: Traffic
) -> None:
    assert traffic.repeated
    assert stack.rows_of(project) == EVENTS


@pytest.mark.parametrize("device", [None, *DEVICES])
def test_every_category_equals_the_independent_count_when_four_clients_send(
    stack: Stack, project: Project, traffic: Traffic, device: str | None
) -> None:
    got = stack.analytics(project, live="false", deviceId=device)

    rows = answer(traffic.sent(), live_only=False, device=device)
    assert got["stats"] == rows
    assert got["sources"] == source_names(traffic.sent(), rows)
