"""Images and containers for the tests marked `docker`, and a loud word where there are none."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.containers import (
    SERVICES,
    Compose,
    NoDaemonError,
    base_images,
    check_daemon,
    docker,
    image_of,
    project,
)

_FIGURES = pytest.StashKey[list[str]]()
_LOUD = {"red": True, "bold": True}


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines that are told at the end of the run."""
    lines: list[str] = request.config.stash.setdefault(_FIGURES, [])
    return lines


@pytest.fixture(scope="session")
def compose(figures: list[str]) -> Iterator[Compose]:
    """A compose project whose images are built. An error where there is no daemon, never a skip."""
    try:
        check_daemon()
    except NoDaemonError as error:
        figures.append(f"NOTHING ABOUT IMAGES AND COMPOSE WAS PROVEN: {error}")
        pytest.fail(f"no Docker daemon to test with: {error}", pytrace=False)
    bases = base_images()
    figures.append(f"base images: {bases or 'the real ones'}")
    with project(bases) as own:
        started = time.monotonic()
        own.run("--profile", "*", "build")
        figures.append(f"four images built in {time.monotonic() - started:.0f} s")
        for service in SERVICES:
            size = int(docker("inspect", "--format={{.Size}}", image_of(service)).stdout)
            figures.append(f"{image_of(service)}: {size / 1e6:.0f} MB")
        yield own


@pytest.fixture(scope="session")
def running(compose: Compose, figures: list[str]) -> Compose:
    """The stack, up: all services healthy, topics and tables made."""
    started = time.monotonic()
    compose.run("up", "--detach", "--wait")
    figures.append(f"up, with empty volumes, in {time.monotonic() - started:.0f} s")
    return compose


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add the end of the containers' logs to the report of a failure."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("running")
    if report.failed and isinstance(stack, Compose):
        said = stack.run("logs", "--no-color", "--tail=40", check=False).stdout
        report.sections.append(("docker compose logs", said[-12_000:]))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell the figures, and loudly that containers were not tested."""
    for line in config.stash.get(_FIGURES, []):
        loud = _LOUD if line.startswith("NOTHING") else {}
        terminalreporter.write_line(line, **loud)
    left_out = terminalreporter.stats.get("deselected", [])
    if any(item.get_closest_marker("docker") for item in left_out):
        terminalreporter.write_line(
            "images and docker-compose.yml were not run here: make test-deploy", yellow=True
        )
