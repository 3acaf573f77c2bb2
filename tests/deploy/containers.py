"""The images and the compose stack, really built and run: what the tests marked `docker` share."""

import json
import os
import secrets
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.docker import environment
from deploy.local.layout import CHECKOUT
from tests.deploy.standins.__main__ import build
from tests.ports import free_port

SERVICES = ("ingest", "processor", "query", "admin")
PYTHON_IMAGE = "python:3.13-slim"
RELEASE = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
REVISION = "a-test"
_PULL_S = 120.0


class NoDaemonError(Exception):
    """There is nothing to build and run images with."""


@dataclass(frozen=True)
class Compose:
    """A compose project of its own: name, secrets, ports and images differ from all others."""

    name: str
    secrets: Path
    ports: dict[str, int]
    has_prometheus: bool

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker compose`; what it says is told when it fails."""
        options = ["--project-name", self.name, "--env-file", str(self.secrets)]
        return docker("compose", *options, *arguments, check=check)

    def lines(self) -> dict[str, str]:
        """The variables that compose is given."""
        pairs = (line.partition("=") for line in self.secrets.read_text().splitlines())
        return {name: value for name, _, value in pairs if value}

    def ragtime(self, *arguments: str) -> str:
        """Run the command `ragtime` in a container of its own: what it printed."""
        return self.run("run", "--rm", "-T", "ragtime", *arguments).stdout

    def state(self, service: str) -> dict[str, Any]:
        """What the daemon knows of a service's container, one that has ended too."""
        container = self.run("ps", "--all", "--quiet", service).stdout.split()[0]
        found: dict[str, Any] = json.loads(docker("inspect", container).stdout)[0]
        return found

    def url(self, service: str) -> str:
        """Where the host reaches a service."""
        return f"http://127.0.0.1:{self.ports[service]}"


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the docker command line in the checkout."""
    done = subprocess.run(
        ["docker", *arguments],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    return done


def check_daemon() -> None:
    """Raise NoDaemonError with what is missing, unless images can be built and composed here."""
    try:
        for question in (("info",), ("compose", "version"), ("buildx", "version")):
            done = docker(*question, check=False)
            if done.returncode != 0:
                raise NoDaemonError(f"`docker {' '.join(question)}` says: {done.stderr.strip()}")
    except FileNotFoundError:
        raise NoDaemonError("there is no command `docker`") from None


def base_images() -> dict[str, str]:
    """The variables that name the base images: none where the real ones can be had."""
    try:
        done = subprocess.run(
            ["docker", "pull", "--quiet", PYTHON_IMAGE],
            capture_output=True,
            check=False,
            timeout=_PULL_S,
        )
    except subprocess.TimeoutExpired:
        return build()
    return build() if done.returncode != 0 else {}


@contextmanager
def project(images: dict[str, str]) -> Iterator[Compose]:
    """A project with secrets and ports of its own; all that it made goes at the end."""
    ports = {name: free_port() for name in ("ingest", "query")}
    numbers = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    lines = {**numbers, **images, "REVISION": REVISION}
    with tempfile.TemporaryDirectory(prefix="ragtime-compose-") as folder:
        file = Path(folder) / "env"
        environment.write(file)
        with file.open("a") as more:
            more.writelines(f"{name}={value}\n" for name, value in lines.items())
        has_prometheus = not images or "PROMETHEUS_IMAGE" in images
        name = f"ragtime-test-{secrets.token_hex(4)}"
        own = Compose(name, file, ports, has_prometheus)
        try:
            yield own
        finally:
            every = ("--profile", "*")
            own.run(*every, "down", "--volumes", "--remove-orphans", "--timeout", "20")


def image_of(service: str) -> str:
    """The image that compose builds for a service."""
    return f"ragtime-analytics/{service}:{os.environ.get('IMAGE_TAG', RELEASE)}"


def python_in(image: str, script: str) -> Any:
    """Run a script in an image, as the image's user and read-only: what it printed as JSON."""
    options = ("--rm", "--read-only", "--network=none", "--entrypoint=python")
    return json.loads(docker("run", *options, image, "-c", script).stdout)
