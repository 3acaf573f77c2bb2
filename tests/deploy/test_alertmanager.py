"""The compose profile `alerting`: what compose starts is run here, and tells its one receiver."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.local.layout import CHECKOUT
from tests.deploy.compose_file import services
from tests.deploy.tools import AMTOOL, alertmanager, go_tool
from tests.e2e.waiting import wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.deploy, pytest.mark.allow_hosts(["127.0.0.1"])]

CONFIGURATION = CHECKOUT / "deploy" / "alertmanager" / "alertmanager.yml"
_SHOWN_WITHIN_S = 30.0


@dataclass
class Receiver:
    """Whoever is told of alerts: what came, and where."""

    url: str
    told: list[dict[str, Any]] = field(default_factory=list)

    @property
    def alerts(self) -> dict[str, str]:
        """Each alert's state, as it was told last."""
        found = (alert for one in self.told for alert in one["alerts"])
        return {alert["labels"]["alertname"]: alert["status"] for alert in found}


@contextmanager
def receiver() -> Iterator[Receiver]:
    own = Receiver("")

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            own.told.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        own.url = f"http://127.0.0.1:{server.server_port}/a-secret-path"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield own
        finally:
            server.shutdown()
            thread.join()


def start_line(folder: Path, port: int, program: Path) -> str:
    """What compose's shell runs, with a container's paths in a folder, and on a port of ours."""
    (script,) = services()["alertmanager"]["command"]
    text = str(script).replace("$$", "$")
    for there, here in {
        "/tmp/": f"{folder}/",  # noqa: S108 - the container's, taken away here
        "/bin/alertmanager": str(program),
        "/etc/alertmanager/": f"{folder}/",
        "=/alertmanager ": f"={folder}/data --web.listen-address=127.0.0.1:{port} ",
    }.items():
        assert there in text
        text = text.replace(there, here)
    return text


def start(folder: Path, port: int, program: Path, url: str) -> "subprocess.Popen[bytes]":
    shell, option = services()["alertmanager"]["entrypoint"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [shell, option, start_line(folder, port, program)],
            env=os.environ | {"ALERT_WEBHOOK_URL": url},
            stdout=log,
            stderr=log,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The configuration as it stands, but that nobody waits for more alerts to tell together."""
    text = CONFIGURATION.read_text("utf-8").replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    for slow, fast in {
        "group_wait: 30s": "group_wait: 100ms",
        "group_interval: 5m": "group_interval: 1s",
    }.items():
        assert slow in text
        text = text.replace(slow, fast)
    (tmp_path / "alertmanager.yml").write_text(text, "utf-8")
    return tmp_path


def test_configuration_is_valid() -> None:
    done = subprocess.run(
        [go_tool(AMTOOL), "check-config", str(CONFIGURATION)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 receivers" in done.stdout


def test_prometheus_tells_the_alertmanager_that_compose_starts() -> None:
    scraping = yaml.safe_load((CHECKOUT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    (named,) = scraping["alerting"]["alertmanagers"]

    assert named == {"static_configs": [{"targets": ["alertmanager:9093"]}]}
    own = services()
    assert "alerting" in own["prometheus"]["profiles"]
    assert set(own["prometheus"]["networks"]) & set(own["alertmanager"]["networks"])


def test_the_receiver_is_told_of_an_alert_and_of_its_end(folder: Path) -> None:
    port = free_port()
    api = f"http://127.0.0.1:{port}"
    with receiver() as team, ended(start(folder, port, alertmanager(), team.url)), http() as client:
        wait_until(
            lambda: answers(client, f"{api}/-/ready"), "Alertmanager is ready", _SHOWN_WITHIN_S
        )
        alert = {"labels": {"alertname": "RagtimeNothingCounted", "severity": "critical"}}
        assert client.post(f"{api}/api/v2/alerts", json=[alert]).status_code == 200
        wait_until(
            lambda: team.alerts == {"RagtimeNothingCounted": "firing"},
            "the team is told",
            _SHOWN_WITHIN_S,
        )

        over = {"endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        assert client.post(f"{api}/api/v2/alerts", json=[alert | over]).status_code == 200
        wait_until(
            lambda: team.alerts == {"RagtimeNothingCounted": "resolved"},
            "its end too",
            _SHOWN_WITHIN_S,
        )
    assert "a-secret-path" not in (folder / "log").read_text()
    assert (folder / "webhook-url").stat().st_mode & 0o077 == 0


def test_nothing_starts_without_a_receiver(folder: Path) -> None:
    program = Path(shutil.which("false") or "/bin/false")

    with ended(start(folder, free_port(), program, "")) as process:
        assert process.wait(_SHOWN_WITHIN_S) == 1

    assert "ALERT_WEBHOOK_URL is not set in .env" in (folder / "log").read_text()


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with the block."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_SHOWN_WITHIN_S)


def http() -> httpx.Client:
    return httpx.Client(trust_env=False)


def answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False
