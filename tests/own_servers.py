"""Kafka and the gateway of a test alone: processes that it may kill, freeze and start anew."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.local.layout import Layout
from tests.e2e.processes import Process
from tests.e2e.waiting import wait_until
from tests.servers import (
    Servers,
    clickhouse_answers,
    kafka_answers,
    local_command,
    local_environment,
    prepare_local,
)

_STARTS_WITHIN_S = 60.0
_BATCH_HEAD = 12


@contextmanager
def running_servers(
    folder: Path, change: Callable[[Layout], None] | None = None
) -> Iterator[tuple[dict[str, Process], Servers]]:
    """Both started in a folder and answering, by their names; killed at the end.

    `change`: changes their configuration before they are started.
    """
    where, found = prepare_local(folder)
    if change is not None:
        change(where)
    servers = {
        name: Process(name, local_command(name), local_environment(where), where.log(name))
        for name in ("kafka", "clickhouse")
    }
    with ExitStack() as closing:
        for server in servers.values():
            server.start()
            closing.callback(server.kill)
        wait_until_answering(found)
        yield servers, found


def wait_until_answering(found: Servers) -> None:
    """Return when both answer."""
    wait_until(lambda: clickhouse_answers(found.clickhouse_url), "ClickHouse", _STARTS_WITHIN_S)
    wait_until(lambda: kafka_answers(found.kafka), "Kafka answers", _STARTS_WITHIN_S)


def tear_log(folder: Path, topic: str, batches: int = 1) -> Callable[[], None]:
    """Cut the end off the largest log of a topic, as a broker that loses its power may find it.

    `folder`: that of `running_servers`; Kafka must not run. `batches`: of so many the last ones are
    lost, which are as many records where each was sent alone. Returns what puts it back.
    """
    logs = (folder / "kafka" / "data").glob(f"{topic}-*/*.log")
    log = max(logs, key=lambda path: path.stat().st_size)
    whole = log.read_bytes()
    # Before each batch stand its first offset, in 8 bytes, and its length in 4.
    places, place = [], 0
    while len(whole) - place > _BATCH_HEAD:
        places.append(place)
        place += _BATCH_HEAD + int.from_bytes(whole[place + 8 : place + _BATCH_HEAD])
    os.truncate(log, [*places, len(whole)][len(places) - batches + 1] - 1)

    def put_back() -> None:
        log.write_bytes(whole)

    return put_back
