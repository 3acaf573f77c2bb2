"""A service of ours is restarted by hand under light load: nothing is lost, nothing is doubled."""

from dataclasses import replace
from itertools import count

import httpx
import pytest

from tests.e2e.model import Sent, answer
from tests.e2e.processes import STOPS_WITHIN_S
from tests.e2e.random_events import DEVICES, RandomEvents
from tests.e2e.stack import SERVICES, Stack
from tests.e2e.traffic import Repeatedly, send_patiently
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.e2e

EVENTS_A_REQUEST = 20
REQUESTS_BEFORE_AND_AFTER = 15


@pytest.fixture(scope="module")
def stack(own_stack: Stack) -> Stack:
    """Others must not suffer from these restarts."""
    return own_stack


@pytest.mark.parametrize("service", SERVICES)
def test_no_event_is_lost_or_doubled_when_a_service_is_restarted(
    stack: Stack, service: str
) -> None:
    (project,) = stack.new_projects(1)
    source = RandomEvents(6, service, conversations=30)
    sent: list[Sent] = []
    numbers = count()
    with httpx.Client(timeout=30, trust_env=False) as http:

        def send() -> None:
            # Each third request repeats half of the one before it, across the restart too.
            repeated = [one.event for one in sent[-EVENTS_A_REQUEST // 2 :]]
            events = source.make(EVENTS_A_REQUEST) + (repeated if next(numbers) % 3 == 0 else [])
            send_patiently(http, stack.events_url(project.id), project.live_key, events)
            sent.extend(Sent(event) for event in events)

        with Repeatedly(send) as sending:
            _wait_for_requests(sending, REQUESTS_BEFORE_AND_AFTER)
            seconds = stack.restart(service)
            _wait_for_requests(sending, sending.times + REQUESTS_BEFORE_AND_AFTER)

    stack.wait_until_counted()
    assert seconds < STOPS_WITHIN_S
    for device in (None, *DEVICES):
        got = stack.analytics(project, live="false", deviceId=device)
        assert got["stats"] == answer(sent, live_only=False, device=device)


def _wait_for_requests(sending: Repeatedly, number: int) -> None:
    wait_until(
        lambda: sending.times >= number or sending.has_failed,
        f"{number} requests were accepted",
        timeout_s=60,
    )


def test_no_event_is_lost_or_doubled_when_the_group_is_forgotten(stack: Stack) -> None:
    # Kafka forgets a group that was away for long; one of another name knows as little.
    (project,) = stack.new_projects(1)
    source = RandomEvents(7, "forgotten", conversations=30)
    processor = stack.services["processor"]
    name = processor.environment["RAGTIME_GROUP__NAME"]
    first, second = source.make(100), source.make(100)
    stack.post_events(project, first)
    stack.wait_until_counted()
    try:
        processor.environment["RAGTIME_GROUP__NAME"] = f"{name}-anew"
        stack.restart("processor")
        stack.post_events(project, second + first[:50])
        replace(stack.topics, group=f"{name}-anew").wait_until_read(60)
    finally:
        processor.environment["RAGTIME_GROUP__NAME"] = name
        stack.restart("processor")

    sent = [Sent(event) for event in first + second]
    got = stack.analytics(project, live="false")
    assert got["stats"] == answer(sent, live_only=False)
