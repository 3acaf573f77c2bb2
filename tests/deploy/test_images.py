"""What goes into the images: one service each, what the extras say, a health check that tells."""

import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic_settings import BaseSettings

from deploy.docker import healthcheck
from deploy.local.layout import CHECKOUT
from services.ingest.settings import Settings as IngestSettings
from services.processor.settings import Settings as ProcessorSettings
from services.query.settings import Settings as QuerySettings

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text("utf-8")
IGNORED = (CHECKOUT / ".dockerignore").read_text("utf-8")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
_CHECK = [sys.executable, "-I", "-S", str(CHECKOUT / "deploy" / "docker" / "healthcheck.py")]


def test_an_image_holds_one_service() -> None:
    copied = [line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    sources = {source for line in copied for source in line[:-1] if source.startswith("services")}
    assert sources == {"services/__init__.py", "services/${SERVICE}"}


def test_the_image_bears_the_release() -> None:
    assert f"ARG VERSION={PROJECT['project']['version']}\n" in DOCKERFILE


def test_the_base_is_an_argument() -> None:
    bases = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    assert set(bases) == {"${PYTHON_IMAGE}"}
    assert "ARG PYTHON_IMAGE=python:3.13-slim\n" in DOCKERFILE


def test_the_builder_gets_nothing_that_is_not_named() -> None:
    rules = [line for line in IGNORED.splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not any(".env" in rule or ".local" in rule or ".git" in rule for rule in rules)


def test_the_health_check_knows_the_ports_of_the_settings() -> None:
    classes: dict[str, type[BaseSettings]] = {
        "ingest": IngestSettings,
        "processor": ProcessorSettings,
        "query": QuerySettings,
    }
    ports = {name: one.model_fields["http"].get_default().port for name, one in classes.items()}
    assert ports == healthcheck.PORTS


def test_the_image_asks_whether_its_service_lives() -> None:
    line = next(
        line for line in DOCKERFILE.splitlines() if "healthcheck.py" in line and "CMD" in line
    )
    assert json.loads(line.strip().removeprefix("CMD ")) == [
        "python",
        "-I",
        "-S",
        "/opt/ragtime/healthcheck.py",
    ]


@pytest.mark.enable_socket
@pytest.mark.parametrize(("live", "code"), [(200, 0), (503, 1)])
def test_the_health_check_tells_whether_the_service_lives(live: int, code: int) -> None:
    with _service(live=live) as (port, asked):
        assert _check("query", port) == code
    assert asked == ["/healthz/live"]


@pytest.mark.enable_socket
@pytest.mark.parametrize(("live", "ready", "code"), [(200, 200, 0), (200, 503, 1), (503, 200, 1)])
def test_the_health_check_of_compose_tells_whether_it_is_ready_too(
    live: int, ready: int, code: int
) -> None:
    with _service(live=live, ready=ready) as (port, _):
        assert _check("query", port, "ready") == code


@pytest.mark.enable_socket
def test_the_health_check_fails_where_nothing_answers() -> None:
    with _service() as (port, _):
        pass
    assert _check("query", port) == 1


def test_the_health_check_of_the_command_has_nothing_to_ask() -> None:
    assert _check("admin", 1) == 0


def _check(service: str, port: int, *words: str) -> int:
    own = os.environ | {"SERVICE": service, "RAGTIME_HTTP__PORT": str(port)}
    return subprocess.run([*_CHECK, *words], env=own, capture_output=True, check=False).returncode


@contextmanager
def _service(live: int = 200, ready: int = 503) -> Iterator[tuple[int, list[str]]]:
    statuses = {"/healthz/live": live, "/healthz/ready": ready}
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(statuses[self.path])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()
