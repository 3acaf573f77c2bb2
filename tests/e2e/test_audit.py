"""`ragtime audit` on the running product: no difference after traffic, and damage by its name."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.stack import Project, Stack
from tests.e2e.traffic import make_traffic, send_traffic

pytestmark = pytest.mark.e2e

EVENTS = 2_000
DAMAGE = (
    "INSERT INTO daily_counts (project_id, is_live, category, date, key, kp, value)"
    " SELECT project_id, is_live, category, date, key, kp, {value:Int64} FROM daily_counts"
    " WHERE project_id = {project:String} AND category = 'usage' AND kp = 0"
    " ORDER BY date DESC LIMIT 1"
)


@pytest.fixture(scope="module")
def stack(own_stack: Stack) -> Stack:
    """An audit looks at all that a stack has counted: this one is for these tests alone."""
    return own_stack


@pytest.fixture(scope="module")
def traffic(stack: Stack, project: Project) -> None:
    """Random events with repeats, and bad lines between them, all of it counted."""
    made = make_traffic(seed=4, events=EVENTS)
    send_traffic(stack.events_url(project.id), project.live_key, made)
    stack.topics.write([b"no json", None, b"[]\n\n{}"], partition=2)
    some = [{**event, "id": f"again-{event['id']}"} for event in made.clients[0][0]]
    for _ in range(2):
        stack.post_events(project, some)
    stack.wait_until_counted()


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize("arguments", [(), ("--every-record",)])
def test_audit_finds_no_difference_when_all_is_counted(
    stack: Stack, arguments: tuple[str, ...]
) -> None:
    answer = stack.ragtime("audit", *arguments)
    assert answer.startswith("4 partitions, ")
    assert answer.endswith(" records read: no difference\n")


@pytest.fixture
def damaged(stack: Stack, project: Project, traffic: None) -> Iterator[None]:
    """One count of one partition is one too high, until the test is over."""
    for value in (1, -1):
        stack.database.command(DAMAGE, parameters={"value": value, "project": project.id})
        if value == 1:
            yield


@pytest.mark.usefixtures("damaged")
def test_audit_exits_1_and_names_what_differs_when_a_count_is_wrong(
    stack: Stack, project: Project
) -> None:
    done = stack.try_ragtime("audit")
    as_json = stack.try_ragtime("audit", "--json")

    first, last = done.stdout.decode().splitlines()
    assert first.startswith(f"partition 0, counts: project_id='{project.id}', ")
    assert "category='usage'" in first
    assert last.endswith(": 1 differences")
    assert done.stderr == ""
    (difference,) = json.loads(as_json.stdout)["differences"]
    assert (difference["partition"], difference["check"]) == (0, "counts")
    assert (done.code, as_json.code) == (1, 1)
