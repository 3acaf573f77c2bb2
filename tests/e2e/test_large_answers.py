"""Answers of many rows on the running product: within the caps, and in little memory."""

import asyncio
import logging
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.asking import assert_problem, bearer
from tests.e2e.processes import Service
from tests.e2e.stack import Project, Stack, user_of
from tests.e2e.waiting import wait_until
from tests.local_http import HTTP
from tests.servers import Servers

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

log = logging.getLogger(__name__)  # figures: --log-cli-level=info

MAX_MB = 300
MOST_ROWS = 200_000
MIDDLING_ROWS = 9_000  # as many as are answered beside others
DAYS = "?from=2024-03-01&to=2026-03-25"
ONE_DAY = "?from=2026-03-01&to=2026-03-01"
# 700 days before the last, and keys of so many characters.
COUNTS = """
INSERT INTO daily_counts (project_id, is_live, category, date, key, kp, value)
SELECT {project:String}, true, {category:String}, toDate('2026-03-01') - number % 700,
    leftPad(toString(number), {length:UInt8}, 'k'), 0, number + 1
FROM numbers({rows:UInt32})
"""
NAMES = """
INSERT INTO source_names (project_id, id, is_live, latest)
SELECT
    {project:String}, leftPad(toString(number), 9, 'k'), true,
    (now64(3), now64(3), 0, 0, repeat(toString(number), 80))
FROM numbers({rows:UInt32})
"""


@pytest.fixture
def query(stack: Stack, real_servers: Servers, tmp_path: Path) -> Iterator[Service]:
    """A query service of its own, as its user may do: its memory is this test's."""
    own = Service("query", stack.environment | user_of(real_servers, "query"), tmp_path / "query")
    own.start()
    own.wait_until_ready()
    yield own
    peak_mb = _peak_mb(own)
    own.close()
    log.info("peak %d MB", peak_mb)
    assert peak_mb < MAX_MB
    assert "Traceback" not in own.log.read_text("utf-8")


def _peak_mb(service: Service) -> int:
    status = Path(f"/proc/{service.pid}/status").read_text("ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024


def _new_projects(stack: Stack, query: Service, number: int) -> list[Project]:
    """Projects whose keys this service knows too."""
    projects = stack.new_projects(number)
    last = projects[-1]
    wait_until(lambda: _ask(query, last, ONE_DAY).status_code == 200, "query has the key")
    return projects


def _count(
    stack: Stack, project: Project, rows: int, *, category: str = "action", length: int = 8
) -> None:
    parameters = {"project": project.id, "category": category, "length": length, "rows": rows}
    stack.database.command(COUNTS, parameters=parameters)


def _url(query: Service, project: Project, days: str = DAYS) -> str:
    return f"{query.url}/api/v1/projects/{project.id}/analytics{days}"


def _ask(query: Service, project: Project, days: str = DAYS) -> httpx.Response:
    return HTTP.get(_url(query, project, days), headers=bearer(project.live_key), timeout=60)


async def _ask_in_parallel(query: Service, projects: list[Project], number: int) -> Counter[int]:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        asking = (
            http.get(_url(query, project), headers=bearer(project.live_key))
            for _ in range(number)
            for project in projects
        )
        return Counter(answer.status_code for answer in await asyncio.gather(*asking))


def _ask_and_read_nothing(query: Service, project: Project) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", query.port), timeout=60)
    target = _url(query, project).removeprefix(query.url)
    head = f"GET {target} HTTP/1.1\r\nHost: query\r\nAuthorization: Bearer {project.live_key}"
    connection.sendall(f"{head}\r\n\r\n".encode())
    return connection


def test_caps_are_those_of_the_settings_when_query_asks_as_its_user(
    stack: Stack, query: Service
) -> None:
    many, long, named = _new_projects(stack, query, 3)
    _count(stack, many, MOST_ROWS + 1)
    _count(stack, long, MOST_ROWS // 2, length=120)
    _count(stack, named, MOST_ROWS // 4, category="source", length=9)
    stack.database.command(NAMES, parameters={"project": named.id, "rows": MOST_ROWS // 4})
    for project in (many, long, named):
        assert_problem(_ask(query, project), 400, "answer_too_large")
        assert _ask(query, project, ONE_DAY).status_code == 200


def test_memory_is_bounded_when_many_ask_for_the_largest_answers(
    stack: Stack, query: Service
) -> None:
    projects = _new_projects(stack, query, 2)
    for project in projects:
        _count(stack, project, MOST_ROWS)

    statuses = asyncio.run(_ask_in_parallel(query, projects, 8))

    log.info("16 answers of %d rows: %s", MOST_ROWS, dict(statuses))
    assert statuses.keys() <= {200, 503}
    assert statuses[200] >= 1


def test_others_are_answered_when_large_answers_are_not_read(stack: Stack, query: Service) -> None:
    attacker, victim = _new_projects(stack, query, 2)
    for project in (attacker, victim):
        _count(stack, project, MOST_ROWS)

    with ExitStack() as unread:
        for _ in range(10):
            unread.enter_context(_ask_and_read_nothing(query, attacker))
        small = [_ask(query, attacker, ONE_DAY) for _ in range(20)]
        large = [_ask(query, victim) for _ in range(3)]

    assert {answer.status_code for answer in small} == {200}
    assert {answer.status_code for answer in large} == {200}


def test_victim_is_answered_when_an_attacker_reads_no_answer_of_middling_size(
    stack: Stack, query: Service
) -> None:
    attacker, victim = _new_projects(stack, query, 2)
    for project in (attacker, victim):
        _count(stack, project, MIDDLING_ROWS, length=120)

    with ExitStack() as unread:
        for _ in range(20):
            unread.enter_context(_ask_and_read_nothing(query, attacker))
        answers = [_ask(query, victim) for _ in range(20)]

    log.info("answers of %d kB", len(answers[0].content) // 1000)
    assert {answer.status_code for answer in answers} == {200}
