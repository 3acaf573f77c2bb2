"""Ingest while Kafka is away and nobody sends: it says so, and is back by itself."""

from collections.abc import Iterator

import pytest

from tests.e2e.processes import Process
from tests.e2e.stack import Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.own_servers import running_servers

pytestmark = pytest.mark.e2e

_TOLD_WITHIN_S = 90.0


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Stack]]:
    """Kafka, which nobody else uses, and a stack that nobody sends to."""
    folder = tmp_path_factory.mktemp("away")
    with running_servers(folder) as (servers, found), running_stack(found, folder) as stack:
        yield servers["kafka"], stack


@pytest.mark.parametrize("is_killed", [False, True])
def test_ingest_is_not_ready_while_kafka_is_away_though_nobody_sends(
    idle: tuple[Process, Stack], *, is_killed: bool
) -> None:
    kafka, stack = idle
    ingest = stack.services["ingest"]
    ingest.wait_until_ready()

    def misses_kafka() -> bool:
        answer = stack.http.get(f"{ingest.url}/healthz/ready")
        return answer.status_code == 503 and not answer.json()["checks"]["kafka"]

    (kafka.kill if is_killed else kafka.freeze)()
    try:
        wait_until(misses_kafka, "ingest misses Kafka", _TOLD_WITHIN_S)
    finally:
        (kafka.start if is_killed else kafka.thaw)()

    ingest.wait_until_ready(_TOLD_WITHIN_S)
    (project,) = stack.new_projects(1)
    stack.post_events(project, [{"type": "session.started", "sessionId": "s"}])
    stack.wait_until_counted()
