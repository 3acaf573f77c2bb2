"""The golden day is sent once more a week after Kafka took it, and counts once all the same.

Kafka took it in the night after its last day, and newer events came since: the processor's memory
begins long after it, and each event of it is looked up in the table.
"""

from datetime import UTC, datetime, time, timedelta

import pytest

from tests.e2e.earlier import write_earlier
from tests.e2e.golden import DEVICES, read_golden_day
from tests.e2e.random_events import RandomEvents
from tests.e2e.stack import Project, Stack

pytestmark = pytest.mark.e2e

GOLDEN_DAY = read_golden_day()
RANGE = {"from": str(GOLDEN_DAY.first_day), "to": str(GOLDEN_DAY.last_day)}
_TAKEN_AT = datetime.combine(GOLDEN_DAY.last_day + timedelta(days=1), time(1), UTC)

Projects = dict[str, Project]


@pytest.fixture(scope="module")
def projects(own_stack: Stack) -> Projects:
    """The projects, when the day was counted a week ago, and other events since."""
    own_stack.topics.keep_stamps()
    projects = GOLDEN_DAY.new_projects(own_stack)
    for request in GOLDEN_DAY.requests:
        id_ = projects[request.project].id
        write_earlier(own_stack.topics, id_, request.sent(), _TAKEN_AT)
    _let_memory_move_on(own_stack)
    return projects


def _let_memory_move_on(stack: Stack) -> None:
    """Count events of today in each partition, beside which none of a week ago is remembered."""
    stack.wait_until_counted()
    (other,) = stack.new_projects(1)
    for at in range(2):
        stack.post_events(other, RandomEvents(at, "since", conversations=100).make(200))
        stack.wait_until_counted()


def _assert_exact(stack: Stack, projects: Projects) -> None:
    for name, project in projects.items():
        assert stack.rows_of(project) == GOLDEN_DAY.counted[name]
        for device in DEVICES:
            answer = stack.analytics(project, **RANGE, live="false", deviceId=device)
            names = GOLDEN_DAY.source_names[name, False]
            assert answer["stats"] == GOLDEN_DAY.answers[name, device]
            assert all(one["name"] == names[one["id"]] for one in answer["sources"])


def test_answer_is_the_one_by_hand_when_kafka_took_the_golden_day_a_week_ago(
    own_stack: Stack, projects: Projects
) -> None:
    _assert_exact(own_stack, projects)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_nothing_counts_again_when_the_whole_day_is_sent_again_a_week_later(
    own_stack: Stack, projects: Projects, *, is_restarted: bool
) -> None:
    if is_restarted:
        own_stack.restart("processor")
    before = own_stack.metric("processor", "ragtime_lookups")

    GOLDEN_DAY.send_to(own_stack, projects)
    own_stack.wait_until_counted()

    _assert_exact(own_stack, projects)
    assert own_stack.metric("processor", "ragtime_lookups") > before
    assert own_stack.ragtime("audit", "--every-record").endswith(": no difference\n")
