"""`python -m tests.upgrade --from REV`: an older release is replaced under load, and all counted.

The older release (the last tag, or the commit named in releases.py) makes its topics, tables and
keys, and works. Then, while producers and a reader go on, `ragtime init` of this checkout, and one
service after the other: in one round ingest first, so that processors of the older release read
what a newer ingest writes, in the other the processors first; in both, processors of both releases
share the group for a while. At the end each event is counted once in every category, and the audit
is clean. Ends with an error otherwise, and says so where the clone does not hold the revision.
"""

import argparse
import json
import logging
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from tests.chaos.load import Load
from tests.e2e.model import answer, source_names
from tests.e2e.processes import THIS, Release, Service, run_command
from tests.e2e.random_events import DEVICES
from tests.e2e.stack import (
    FAST,
    Project,
    Stack,
    environment_of,
    started,
    user_of,
)
from tests.e2e.traffic import Repeatedly
from tests.e2e.waiting import wait_until
from tests.servers import Servers, servers
from tests.upgrade.releases import NoReleaseError, commit_of, earlier_revision, older_release

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
    """The older release, running and ready, with tables that it made itself."""
    environment = environment_of(found)
    run_command(environment, "init", release=old)
    services = {
        name: Service(
            (kind := name.partition("-")[0]),
            environment | user_of(found, kind),
            folder / f"{name}.log",
            label=name,
            release=old,
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
        json.loads(run_command(stack.environment, *command, *scopes, "--mode", mode, release=old))[
            "key"
        ]
        for mode in ("live", "test")
    )
    stack.wait_until_key_works("upgraded", test)
    return Project("upgraded", live, test)


def upgrade(found: Servers, old: Release, order: tuple[str, ...], folder: Path) -> None:
    """One round. Raises AssertionError at the first difference."""
    with _older_stack(found, old, folder) as stack:
        project = _project(stack, old)
        load = Load(stack.events_url(project.id), project.live_key, "u")
        statuses: Counter[int] = Counter()
        with load, Repeatedly(partial(_ask, stack, project, statuses)):
            _wait_for_events(load)
            say(f"  {run_command(stack.environment, 'init').strip().replace(chr(10), '; ')}")
            _wait_for_events(load)
            for name in order:
                started = time.monotonic()
                stack.services[name].upgrade(THIS)
                _wait_for_events(load)
                seconds = time.monotonic() - started
                say(f"  {name}: upgraded, {seconds:.0f} s; {load.accepted} events so far")
        stack.wait_until_counted(_COUNTED_WITHIN_S)
        _compare(stack, project, load)
        say(f"  {stack.ragtime('audit', '--every-record').strip()}")
        not_ready = statuses.pop(_NOT_READY, 0)
        say(f"  answers to the reader by status: {dict(statuses)}; not ready: {not_ready} times")
        assert set(statuses) == {200}, statuses


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


def _compare(stack: Stack, project: Project, load: Load) -> None:
    sent = load.sent()
    for device in (None, *DEVICES):
        got = stack.analytics(project, live="false", deviceId=device)
        expected = answer(sent, live_only=False, device=device)
        assert got["stats"] == expected, f"stats of {device or 'all devices'} differ"
        assert got["sources"] == source_names(sent, expected), "sources differ"
    (rows,) = stack.database.query("SELECT count() FROM events").result_rows[0]
    assert rows == len(sent), f"{rows} rows, {len(sent)} events accepted"
    say(f"  {len(sent)} events accepted, {rows} rows, all categories exact")


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
