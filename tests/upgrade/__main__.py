"""`python -m tests.upgrade --from REV`: an older release is replaced under load, and all counted.

The older release (the last tag, or the commit named in releases.py) makes its topics, tables and
keys, and works. Then, while producers and a reader go on, `ragtime init` of this checkout, and one
service after the other: in one round ingest first, so that processors of the older release read
what a newer ingest writes, in the other the processors first; in both, processors of both releases
share the group for a while. What the older release counted and named is sent again at the end: by
the same key it is a repeat, by the test key another event, and old names come back for nobody. Then
each event is counted once in every category, and the audit is clean. Ends with an error otherwise,
and says so where the clone does not hold the revision.
"""

import argparse
import json
import logging
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx

from tests.chaos.load import Load
from tests.e2e.model import Event, Sent, answer, counted, source_names
from tests.e2e.processes import THIS, Release, Service, run_command
from tests.e2e.random_events import DEVICES
from tests.e2e.stack import (
    FAST,
    Project,
    Stack,
    environment_of,
    started,
)
from tests.e2e.traffic import Repeatedly
from tests.e2e.waiting import wait_until
from tests.servers import Servers, servers
from tests.upgrade.releases import (
    NoReleaseError,
    commit_of,
    earlier_revision,
    known_to,
    older_release,
)

_PROCESSORS = ("processor-0", "processor-1")
ORDERS = {
    "ingest first": ("ingest", *_PROCESSORS, "query"),
    "processors first": (*_PROCESSORS, "query", "ingest"),
}
_EVENTS_A_STEP = 400
_STEP_WITHIN_S = 120.0
_COUNTED_WITHIN_S = 120.0
_NOT_READY = 0


@contextmanager
def _older_stack(found: Servers, old: Release, folder: Path) -> Iterator[Stack]:
    """The older release, running and ready, with tables that it made itself.

    Everybody is the same user, who may do everything: the older release needs other rights than
    this one, and processors that share a group share a user.
    """
    environment = environment_of(found)
    known = known_to(old, environment)
    run_command(known, "init", release=old)
    services = {
        name: Service(
            name.partition("-")[0], known, folder / f"{name}.log", label=name, release=old
        )
        for name in ("ingest", *_PROCESSORS, "query")
    }
    with started(environment, services) as stack:
        yield stack


def _project(stack: Stack, old: Release) -> Project:
    """A project whose keys the older release made."""
    command = ("keys", "create", "--project", "upgraded", "--rate", str(FAST), "--json")
    scopes = ("--scope", "analytics:read", "--scope", "events:write")
    live, test = (
        json.loads(
            run_command(
                known_to(old, stack.environment), *command, *scopes, "--mode", mode, release=old
            )
        )["key"]
        for mode in ("live", "test")
    )
    stack.wait_until_key_works("upgraded", test)
    return Project("upgraded", live, test)


def upgrade(found: Servers, old: Release, order: tuple[str, ...], folder: Path) -> None:
    """One round. Raises AssertionError at the first difference."""
    with _older_stack(found, old, folder) as stack:
        project = _project(stack, old)
        named = [_retrieval("n-1", 3, {"guide": "Guide", "map": "Map", "old": "Only of old"})]
        stack.post_events(project, named)
        sent = [Sent(one) for one in named]
        load = Load(stack.events_url(project.id), project.live_key, "u")
        statuses: Counter[int] = Counter()
        with load, Repeatedly(partial(_ask, stack, project, statuses)):
            _wait_for_events(load)
            say(f"  {run_command(stack.environment, 'init').strip().replace(chr(10), '; ')}")
            _wait_for_events(load)
            for name in order:
                started = time.monotonic()
                service = stack.services[name]
                service.environment = stack.environment | service.environment
                service.upgrade(THIS)
                _wait_for_events(load)
                seconds = time.monotonic() - started
                say(f"  {name}: upgraded, {seconds:.0f} s; {load.accepted} events so far")
        stack.wait_until_counted(_COUNTED_WITHIN_S)
        sent += _send_again(stack, project, named + load.some(random.Random(1)))
        stack.wait_until_counted(_COUNTED_WITHIN_S)
        _compare(stack, project, load.sent() + sent)
        say(f"  {stack.ragtime('audit', '--every-record').strip()}")
        not_ready = statuses.pop(_NOT_READY, 0)
        say(f"  answers to the reader by status: {dict(statuses)}; not ready: {not_ready} times")
        assert set(statuses) == {200}, statuses


def _retrieval(id_: str, hours_ago: float, names: Mapping[str, str]) -> Event:
    """A search that names sources, so many hours ago."""
    occurred_at = datetime.now(UTC) - timedelta(hours=hours_ago)
    return {
        "id": id_,
        "type": "rag.retrieval",
        "occurredAt": occurred_at.isoformat(timespec="milliseconds"),
        "sessionId": "s-named",
        "conversationId": "c-named",
        "hit": True,
        "sources": [{"id": source, "name": name} for source, name in names.items()],
    }


def _send_again(stack: Stack, project: Project, known: list[Event]) -> list[Sent]:
    """What the older release counted: by both keys; and names before and after those it knows."""
    trial = _retrieval("n-2", 1, {"guide": "Guide on trial"})
    newer, imported = (
        _retrieval("n-3", 2, {"map": "Map of today"}),
        _retrieval("n-4", 50, {"guide": "Guide of long ago", "map": "Map of long ago"}),
    )
    requests = (([*known, newer, imported], False), ([*known, trial], True))
    for events, by_test_key in requests:
        stack.post_events(project, events, by_test_key=by_test_key)
    return [Sent(one, by_test_key) for events, by_test_key in requests for one in events]


def _ask(stack: Stack, project: Project, statuses: Counter[int]) -> None:
    # As behind a load balancer: who is not ready is not asked. There is one query here.
    headers = {"Authorization": f"Bearer {project.live_key}"}
    query = stack.services["query"]
    try:
        is_ready = httpx.get(f"{query.url}/healthz/ready").status_code == 200
        asked = stack.analytics_url(project.id)
        status = httpx.get(asked, headers=headers).status_code if is_ready else _NOT_READY
    except httpx.TransportError:
        status = _NOT_READY
    statuses[status] += 1
    time.sleep(0.05)


def _wait_for_events(load: Load) -> None:
    wanted = load.accepted + _EVENTS_A_STEP
    wait_until(lambda: load.accepted >= wanted, "producers get on", _STEP_WITHIN_S)


def _compare(stack: Stack, project: Project, sent: list[Sent]) -> None:
    for device in (None, *DEVICES):
        for live_only in (True, False):
            got = stack.analytics(project, live=str(live_only), deviceId=device)
            expected = answer(sent, live_only=live_only, device=device)
            assert got["stats"] == expected, f"stats of {device or 'all devices'} differ"
            names = source_names(sent, expected, live_only=live_only)
            assert got["sources"] == names, f"sources differ: {got['sources']}"
    (rows,) = stack.database.query("SELECT count() FROM events").result_rows[0]
    different = len(counted(sent))
    assert rows == different, f"{rows} rows, {different} events accepted"
    say(f"  {different} events accepted, {rows} rows, all categories and names exact")


def say(line: str) -> None:
    """A line for the person at the terminal, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(revision: str) -> None:
    """All rounds from a revision. Raises AssertionError at the first difference."""
    commit = commit_of(revision)
    folder = Path(tempfile.mkdtemp(prefix="ragtime-upgrade-"))
    say(f"from {revision} ({commit[:12]}) to this checkout; logs in {folder}")
    old = older_release(commit, folder / "older")
    with servers() as found:
        for name, order in ORDERS.items():
            say(f"{name}:")
            (logs := folder / name.replace(" ", "-")).mkdir()
            upgrade(found, old, order, logs)
    say("all exact")


def main() -> int:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="revision", help="a tag or commit; default: the last tag")
    revision = parser.parse_args().revision or earlier_revision()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is stopped
    try:
        run(revision)
    except NoReleaseError as error:
        sys.stderr.write(f"tests.upgrade: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
