"""Backup, the loss of all tables, restore, as operating.md says: by the command `ragtime`, and by
ClickHouse's own statements where tables shall be of different moments.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.golden import DEVICES, read_golden_day
from tests.e2e.model import CATEGORIES, Event, Sent, answer
from tests.e2e.random_events import RandomEvents
from tests.e2e.stack import Project, Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.servers import Servers

pytestmark = pytest.mark.e2e

GOLDEN_DAY = read_golden_day()
LONG_AGO = {"from": str(GOLDEN_DAY.first_day), "to": str(GOLDEN_DAY.last_day)}


@pytest.fixture
def own_stack(real_servers: Servers, tmp_path: Path) -> Iterator[Stack]:
    """A stack whose tables may be lost."""
    with running_stack(real_servers, tmp_path) as running:
        yield running


def _name(stack: Stack) -> str:
    return stack.environment["RAGTIME_CLICKHOUSE__DATABASE"]


def _backup(stack: Stack, label: str) -> str:
    """Take a backup; where it lies."""
    place = f"Disk('backups', '{_name(stack)}-{label}')"
    stack.database.command(f"BACKUP DATABASE {_name(stack)} TO {place}")
    return place


def _lose_all(stack: Stack) -> None:
    stack.database.command(f"DROP DATABASE {_name(stack)} SYNC")


def _restore(stack: Stack, what: str, place: str) -> None:
    # The client's own database does not exist at this moment.
    stack.database.command(f"RESTORE {what} FROM {place}", use_database=False)


def _answers(stack: Stack, projects: list[Project]) -> list[bytes]:
    """All that can be asked of the golden day, as it comes over the network."""
    return [
        _asked(stack, project, {"category": category, "live": live, "deviceId": device})
        for project in projects
        for category in (None, *CATEGORIES)
        for live in ("true", "false")
        for device in (None, *DEVICES)
    ]


def _asked(stack: Stack, project: Project, parameters: dict[str, str | None]) -> bytes:
    given = {name: value for name, value in parameters.items() if value is not None}
    response = stack.http.get(
        stack.analytics_url(project.id),
        params=given | LONG_AGO,
        headers={"Authorization": f"Bearer {project.live_key}"},
    )
    assert response.status_code == 200, response.text
    return response.content


def _assert_exact(stack: Stack, project: Project, sent: list[Event]) -> None:
    got = stack.analytics(project, live="false")
    assert got["stats"] == answer(map(Sent, sent), live_only=False)


def _assert_clean(stack: Stack) -> None:
    assert stack.ragtime("audit", "--every-record").endswith(": no difference\n")


def test_answers_are_the_same_and_each_event_counts_once_when_all_tables_were_lost(
    own_stack: Stack,
) -> None:
    stack = own_stack
    projects = list(GOLDEN_DAY.send(stack).values())
    (later,) = stack.new_projects(1)
    stack.wait_until_counted()
    full, new = f"{_name(stack)}-full", f"{_name(stack)}-new"
    assert stack.ragtime("backup", full).startswith(f"backup {full}: ")
    before = RandomEvents(8, "before", conversations=20).make(100)
    stack.post_events(later, before)
    stack.wait_until_counted()
    at_backup = _answers(stack, projects)
    stack.ragtime("backup", new, "--since", full)
    after = RandomEvents(8, "after", conversations=20).make(100)
    stack.post_events(later, after + before[:20])
    stack.wait_until_counted()

    assert "stop the processors first" in stack.try_ragtime("restore", new, "--replace").stderr
    stack.services["processor"].stop()
    _lose_all(stack)
    meanwhile = RandomEvents(8, "meanwhile", conversations=20).make(50)
    stack.post_events(later, meanwhile + after[:20])
    assert stack.ragtime("restore", new).startswith(f"restored {new}: ")
    wait_until(lambda: stack.knows_key("query", later.id, later.live_key), "query has the tables")

    assert _answers(stack, projects) == at_backup
    _assert_exact(stack, later, before)
    assert "tables: up to date\n" in stack.ragtime("init")
    stack.services["processor"].start()
    stack.services["processor"].wait_until_ready()
    stack.wait_until_counted()
    _assert_exact(stack, later, before + after + meanwhile)
    assert _answers(stack, projects) == at_backup
    newest = RandomEvents(8, "newest", conversations=20).make(50)
    stack.post_events(later, newest + before[:10] + after[:10] + meanwhile[:10])
    stack.wait_until_counted()
    _assert_exact(stack, later, before + after + meanwhile + newest)
    _assert_clean(stack)


def test_command_fails_and_nothing_is_lost_when_clickhouse_cannot(own_stack: Stack) -> None:
    stack = own_stack
    (project,) = stack.new_projects(1)
    stack.post_events(project, RandomEvents(7, "kept", conversations=5).make(20))
    stack.wait_until_counted()
    before = _answers(stack, [project])
    name = f"{_name(stack)}-kept"
    stack.ragtime("backup", name)
    stack.services["processor"].stop()

    for arguments, said in (
        (("backup", name), "already exists"),
        (("backup", "other", "--since", "no-such"), "no-such"),
        (("restore", name), "tables; with --replace they are dropped"),
        (("restore", "no-such", "--replace"), "no-such"),
    ):
        done = stack.try_ragtime(*arguments)
        assert (done.code, said in done.stderr) == (1, True), done.stderr
        assert "Traceback" not in done.stderr
    assert stack.try_ragtime("backup", "../elsewhere").code == 2
    assert _answers(stack, [project]) == before

    stack.ragtime("restore", name, "--replace")
    wait_until(
        lambda: stack.knows_key("query", project.id, project.live_key), "the tables are back"
    )
    assert _answers(stack, [project]) == before
    stack.services["processor"].start()
    stack.services["processor"].wait_until_ready()
    _assert_clean(stack)


@pytest.mark.parametrize("newer", ["events", "daily_counts"])
def test_rollups_are_mended_when_the_backup_has_its_tables_at_different_moments(
    own_stack: Stack, newer: str
) -> None:
    # A server reads table after table: an insert may come between them. Here, a hundred events do,
    # and the names of sources are of the older moment.
    stack = own_stack
    (project,) = stack.new_projects(1)
    source = RandomEvents(9, newer, conversations=20)
    sent: list[Event] = []
    places = []
    for label in ("older", "newer"):
        sent += source.make(100)
        stack.post_events(project, sent[-100:])
        stack.wait_until_counted()
        places.append(_backup(stack, label))

    stack.services["processor"].stop()
    _lose_all(stack)
    table = f"{_name(stack)}.{newer}"
    _restore(stack, f"DATABASE {_name(stack)} EXCEPT TABLES {table}", places[0])
    _restore(stack, f"TABLE {table}", places[1])
    assert stack.try_ragtime("audit").code == 1
    stack.services["processor"].start()
    stack.services["processor"].wait_until_ready()
    stack.wait_until_counted()

    _assert_exact(stack, project, sent)
    _assert_clean(stack)


def test_events_between_are_counted_when_tables_come_back_older_beneath_a_running_processor(
    own_stack: Stack,
) -> None:
    stack, processor = own_stack, own_stack.services["processor"]
    (project,) = stack.new_projects(1)
    events = RandomEvents(10, "beneath", conversations=2).make(3)
    stack.post_events(project, events[:1])
    stack.wait_until_counted()
    place = _backup(stack, "first")
    stack.post_events(project, events[1:2])
    stack.wait_until_counted()

    _lose_all(stack)
    stack.post_events(project, events[2:])
    wait_until(lambda: '"recovery.waiting"' in processor.log_tail(), "it waits for the tables")
    _restore(stack, f"DATABASE {_name(stack)}", place)
    wait_until(lambda: not processor.is_running, "it ends, to be started again")
    assert '"rows.lost"' in processor.log_tail()
    processor.start()
    processor.wait_until_ready()
    stack.wait_until_counted()

    _assert_exact(stack, project, events)
    _assert_clean(stack)
