"""The verb `ragtime doctor` on checks that ask no server: how it ends, and whom it tells."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner, Result

from services.admin.app import app
from services.admin.doctor.examination import CHECKS

# With several replicas and no store of limits `settings` warns; `ragtime` is always well.
_LEFT_OUT = [f"--skip={name}" for name in CHECKS if name not in {"ragtime", "settings"}]


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "KAFKA__BOOTSTRAP_SERVERS": "k:1",
        "CLICKHOUSE__URL": "http://c:1",
        "CLICKHOUSE__USER": "u",
        "CLICKHOUSE__PASSWORD": "p",
        "ACCESS__PEPPER": "p" * 32,
        "DOCTOR__REPLICAS": "6",
    }.items():
        monkeypatch.setenv(f"RAGTIME_{name}", value)


def doctor(*options: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--json", *_LEFT_OUT, *options])


def test_warnings_end_it_with_an_exit_code_of_their_own() -> None:
    result = doctor()

    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["verdict"] == "warn"


def test_warnings_pass_when_they_are_let() -> None:
    result = doctor("--warnings-pass")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["verdict"] == "warn", "they are shown all the same"


def test_failures_do_not_pass_when_warnings_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # A dead-letter topic that is the topic of events.
    monkeypatch.setenv("RAGTIME_KAFKA__DEAD_LETTER_TOPIC", "events")

    assert doctor("--warnings-pass").exit_code == 2


@dataclass
class Gateway:
    """What answers as a Pushgateway would."""

    url: str = ""
    status: int = 200
    said: bytes = b""
    came: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    running = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            running.came.append((self.path, self.headers["Content-Type"], body))
            self.send_response(running.status)
            self.send_header("Content-Length", str(len(running.said)))
            self.end_headers()
            self.wfile.write(running.said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.url = f"http://127.0.0.1:{server.server_port}"
        yield running
        server.shutdown()


with_sockets = pytest.mark.allow_hosts(["127.0.0.1"])


@with_sockets
@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"])
def test_findings_are_pushed_with_the_labels_that_rules_ask_for(
    gateway: Gateway, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    labels = ["--label", "namespace=a b", "--label", "app_kubernetes_io_instance=release"]

    result = doctor("--push", gateway.url, *labels)

    assert result.exit_code == 1, result.output
    ((path, kind, body),) = gateway.came
    group = "app_kubernetes_io_instance/release/namespace@base64/YSBi"
    assert path == f"/metrics/job/ragtime-doctor/{group}"
    assert kind.startswith("text/plain; version=0.0.4")
    shown = dict(line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
    assert float(shown.pop("ragtime_doctor_examined_timestamp_seconds")) > 0
    assert shown == {
        'ragtime_doctor_check{check="ragtime"}': "0.0",
        'ragtime_doctor_check{check="settings"}': "1.0",
    }


@with_sockets
def test_push_that_is_refused_is_one_sentence_and_the_findings_are_shown(gateway: Gateway) -> None:
    gateway.status, gateway.said = 400, b"pushed metrics are invalid\n\x1b[2Jmore\n"

    result = doctor("--push", f"{gateway.url}/", "--warnings-pass")

    assert result.exit_code == 3
    assert json.loads(result.stdout)["verdict"] == "warn"
    assert result.stderr == (
        f"ragtime: what was found could not be pushed to {gateway.url}/: HTTP 400"
        " pushed metrics are invalid\n"
    )


@with_sockets
def test_push_is_not_sent_on_when_the_gateway_leads_elsewhere(gateway: Gateway) -> None:
    gateway.status = 302

    assert doctor("--push", gateway.url).exit_code == 3
    assert len(gateway.came) == 1


@with_sockets
def test_push_that_nobody_takes_is_one_sentence() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        url = f"http://127.0.0.1:{server.server_port}"

    result = doctor("--push", url)

    assert result.exit_code == 3
    (told,) = result.stderr.splitlines()
    assert "ConnectError" in told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--push", "pushgateway:9091"], "http://pushgateway:9091"),
        (["--push", "http://"], "http://pushgateway:9091"),
        (["--push", "http://gateway/?a=b"], "http://pushgateway:9091"),
        (["--push", "http://gateway:99999"], "http://pushgateway:9091"),
        (["--push", "http://user:hunter2@gateway"], "no user and no password"),
        (["--push", "http://gateway", "--label", "namespace"], "NAME=VALUE"),
        (["--push", "http://gateway", "--label", "a-b=c"], "NAME=VALUE"),
        (["--push", "http://gateway", "--label", "job=c"], "label of ours"),
        (["--label", "namespace=a"], "it belongs to --push"),
    ],
)
def test_option_is_refused_before_anything_is_looked_at_when_it_is_wrong(
    options: list[str], sentence: str
) -> None:
    result = doctor(*options)

    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in " ".join(result.stderr.replace("│", " ").split())
    assert "hunter2" not in result.stderr
