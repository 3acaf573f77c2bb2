"""Each request is sent three times, in random order, by clients at once: all counts as if once."""

import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.chaos.load import of_one_kind
from tests.e2e.model import Event, Sent, answer, source_names
from tests.e2e.random_events import DEVICES, RandomEvents
from tests.e2e.stack import Project, Stack
from tests.e2e.traffic import send_patiently

pytestmark = pytest.mark.e2e

_REQUESTS, _EVENTS_A_REQUEST, _TIMES, _CLIENTS = 60, 40, 3, 4


@pytest.fixture(scope="module")
def sent(stack: Stack, project: Project) -> list[Sent]:
    """What was sent; the order within a conversation does not matter for these events."""
    source = RandomEvents(3, "thrice", conversations=100)
    requests = [
        [of_one_kind(event) for event in source.make(_EVENTS_A_REQUEST)] for _ in range(_REQUESTS)
    ]
    often = requests * _TIMES
    random.Random(3).shuffle(often)

    def send(events: list[Event]) -> None:
        with httpx.Client(timeout=30, trust_env=False) as http:
            send_patiently(http, stack.events_url(project.id), project.live_key, events)

    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(send, often))
    stack.wait_until_counted()
    return [Sent(event) for events in requests for event in events]


@pytest.mark.parametrize("device", [None, *DEVICES])
def test_every_category_equals_the_count_of_once_when_all_is_sent_three_times(
    stack: Stack, project: Project, sent: list[Sent], device: str | None
) -> None:
    expected = answer(sent, live_only=False, device=device)

    got = stack.analytics(project, live="false", deviceId=device)

    assert got["stats"] == expected
    assert got["sources"] == source_names(sent, expected)


def test_each_event_is_one_row_when_all_is_sent_three_times(
    stack: Stack, project: Project, sent: list[Sent]
) -> None:
    assert stack.rows_of(project) == len(sent)
