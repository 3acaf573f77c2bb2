"""The same question answered from the rollups and from the raw events, on random data."""

from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.model import Event, Sent, answer, source_names
from tests.e2e.random_events import DEVICES, RandomEvents
from tests.e2e.stack import Project, Stack

pytestmark = pytest.mark.e2e

EXAMPLES = 10

# Hypothesis chooses how the data is cut and sent; a seed of its own fills the events.
REQUESTS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 60), st.floats(0, 0.5)), min_size=1, max_size=6
)

# A seed cannot be shrunk, so that phase would only cost time.
RANDOM = settings(max_examples=EXAMPLES, phases=[Phase.generate])


@pytest.fixture(scope="module")
def projects(stack: Stack) -> Iterator[Project]:
    """A new project for each example of both tests, and a few to repeat what failed."""
    return iter(stack.new_projects(2 * EXAMPLES + 6))


def _requests(
    seed: int, conversations: int, plan: list[tuple[bool, int, float]]
) -> list[tuple[bool, list[Event]]]:
    """What is sent: for each request by which key, new events and some of those sent before."""
    source = RandomEvents(seed, "r", conversations, odd=True)
    requests: list[tuple[bool, list[Event]]] = []
    for by_test_key, number, repeats in plan:
        new = source.make(number)
        before = list(chain.from_iterable(events for _, events in requests))
        requests.append((by_test_key, new + before[: int(repeats * len(before))] + new[:1]))
    return requests


def _send(stack: Stack, project: Project, requests: list[tuple[bool, list[Event]]]) -> list[Sent]:
    for by_test_key, events in requests:
        stack.post_events(project, events, by_test_key=by_test_key)
    stack.wait_until_counted()
    return [Sent(event, by_test_key) for by_test_key, events in requests for event in events]


@RANDOM
@given(seed=st.integers(0, 2**32), conversations=st.integers(1, 40), plan=REQUESTS)
def test_answers_equal_the_independent_count_when_events_are_random(
    stack: Stack,
    projects: Iterator[Project],
    seed: int,
    conversations: int,
    plan: list[tuple[bool, int, float]],
) -> None:
    project = next(projects)
    sent = _send(stack, project, _requests(seed, conversations, plan))

    for device in (None, *DEVICES):
        for live_only in (True, False):
            got = stack.analytics(project, deviceId=device, live=str(live_only).lower())
            assert got["stats"] == answer(sent, live_only=live_only, device=device)
            names = source_names(sent, got["stats"], live_only=live_only)
            assert got["sources"] == names


@RANDOM
@given(seed=st.integers(0, 2**32), conversations=st.integers(1, 40), plan=REQUESTS)
def test_rollups_and_raw_events_agree_when_all_events_are_of_one_device(
    stack: Stack,
    projects: Iterator[Project],
    seed: int,
    conversations: int,
    plan: list[tuple[bool, int, float]],
) -> None:
    project = next(projects)
    requests = [
        (by_test_key, [event | {"deviceId": "the-kiosk"} for event in events])
        for by_test_key, events in _requests(seed, conversations, plan)
    ]
    _send(stack, project, requests)

    from_rollups = stack.analytics(project, live="false")
    from_raw_events = stack.analytics(project, live="false", deviceId="the-kiosk")
    assert from_rollups == from_raw_events
    assert from_rollups["stats"]
