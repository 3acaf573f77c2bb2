"""What all tests share: the servers, the product as processes, and sockets blocked elsewhere."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.beside_load import DEFAULT_RATE, Sent, beside_load
from tests.e2e.canaries import leaks, places_of
from tests.e2e.stack import Project, Stack, running_stack
from tests.layers import lines
from tests.servers import Servers, servers
from tests.workers import (
    Ending,
    Turns,
    in_parts,
    is_worker,
    needs_servers,
    number_of_workers,
)

settings.register_profile(
    "ragtime",
    deadline=None,  # the machine is noisy; no test asserts a time
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ragtime")

_SENT = pytest.StashKey[list[Sent]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is asked of all tests beside their order: to stand beside others' events."""
    parser.addoption(
        "--beside-load",
        nargs="?",
        type=float,
        const=DEFAULT_RATE,
        default=0.0,
        metavar="RATE",
        help="send events of another project to the shared stack meanwhile, so many a second"
        f" ({DEFAULT_RATE:g}), half of them repeats",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Leave nothing running when a run of several workers is ended."""
    if config.getoption("numprocesses", None) and not is_worker(config):
        config.pluginmanager.register(Ending())


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let the workers take turns where a test has to be alone."""
    if is_worker(session.config):
        factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        session.config.pluginmanager.register(Turns(factory.getbasetemp().parent))


def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means."""
    return number_of_workers()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Open the loopback address to the tests that are marked for it."""
    for item in filter(needs_servers, items):
        item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"]))
    if is_worker(config):
        items[:] = in_parts(items)


@pytest.fixture(scope="session")
def real_servers() -> Iterator[Servers]:
    """A real Kafka and the real ClickHouse engine, one pair for the whole run."""
    with servers() as running:
        yield running


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest,
    real_servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Ingest, processor and query beside the real servers, for all tests of a run.

    Others use it at the same time: a test reads here what is its own project's alone. No key that
    a test showed may leak.
    """
    rate = request.config.getoption("beside_load")
    with running_stack(real_servers, tmp_path_factory.mktemp("e2e")) as running:
        with ExitStack() as beside:
            if rate:
                request.config.stash[_SENT] = beside.enter_context(beside_load(running, rate))
            yield replace(running, is_shared=True)
        found = leaks(places_of(running), running.shown_keys)
        assert not found, f"{len(found)} leaks, of {[place for place, _ in found]}"


@pytest.fixture(scope="module")
def own_stack(real_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for the tests of one file, which nobody else uses.

    For what is told of all projects together (counters, lag, the log, an audit), and for what
    others would suffer from.
    """
    with running_stack(real_servers, tmp_path_factory.mktemp("own")) as running:
        yield running


@pytest.fixture(scope="module")
def project(stack: Stack) -> Project:
    """A project that only the tests of one file use."""
    return stack.new_projects(1)[0]


@pytest.fixture
def no_traces(stack: Stack) -> Iterator[None]:
    """No service writes a trace into its log during the test."""
    logs = {name: service.log for name, service in stack.services.items()}
    before = {name: log.stat().st_size for name, log in logs.items()}
    yield
    for name, size in before.items():
        written = logs[name].read_bytes()[size:].decode("utf-8", errors="replace")
        assert "Traceback" not in written, f"{name}: {written[-2000:]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add the end of each service's log to the report of a failure."""
    report = yield
    stacks = [one for one in getattr(item, "funcargs", {}).values() if isinstance(one, Stack)]
    for stack in stacks if report.failed else ():
        report.sections += [(f"{name}'s log", tail) for name, tail in stack.logs().items()]
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how long each layer took, and what the load beside the tests was."""
    reports = [one for kind in terminalreporter.stats.values() for one in kind]
    for line in lines(one for one in reports if isinstance(one, pytest.TestReport)):
        terminalreporter.write_line(line)
    for sent in config.stash.get(_SENT, []):
        terminalreporter.write_line(
            f"beside load: {sent.events} events were accepted, {sent.repeated} of them once more;"
            " each was counted once"
        )
