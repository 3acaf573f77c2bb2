"""The processor's counters of events tell of all projects: on a stack that nobody else uses."""

import pytest

from tests.e2e.golden import read_golden_day
from tests.e2e.stack import Stack
from tests.e2e.traffic import make_traffic, send_traffic

pytestmark = pytest.mark.e2e

EVENTS = 2_000


def _processed(stack: Stack) -> tuple[float, float]:
    return (
        stack.metric("processor", "ragtime_events_counted"),
        stack.metric("processor", "ragtime_events_repeated"),
    )


def _more(stack: Stack, before: tuple[float, float]) -> tuple[float, float]:
    stack.wait_until_counted()
    counted, repeated = _processed(stack)
    return counted - before[0], repeated - before[1]


def test_counters_tell_events_and_repeats_when_the_golden_day_was_sent(own_stack: Stack) -> None:
    golden_day = read_golden_day()
    before = _processed(own_stack)

    golden_day.send(own_stack)

    expected = (sum(golden_day.counted.values()), golden_day.repeated)
    assert _more(own_stack, before) == expected


def test_counters_tell_events_and_repeats_when_four_clients_repeat_themselves(
    own_stack: Stack,
) -> None:
    (project,) = own_stack.new_projects(1)
    traffic = make_traffic(seed=3, events=EVENTS)
    before = _processed(own_stack)

    send_traffic(own_stack.events_url(project.id), project.live_key, traffic)

    assert _more(own_stack, before) == (EVENTS, traffic.repeated)
