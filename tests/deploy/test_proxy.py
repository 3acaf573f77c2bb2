"""The example of a proxy: one host by TLS, and only the proxy may say who the caller is.

Compose's own loader merges the files, and Caddy itself reads the Caddyfile.
"""

import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from deploy.docker import environment
from deploy.local.layout import CHECKOUT
from services.ingest.routes import EVENTS_PATH
from services.query.routes import PATH as ANALYTICS_PATH
from tests.deploy.compose_file import COMPOSE, PROXY, filled
from tests.deploy.tools import CADDY, COMPOSE_LOADER, go_tool
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.deploy, pytest.mark.allow_hosts(["127.0.0.1", "localhost"])]

Json = dict[str, Any]

CADDYFILE = CHECKOUT / "deploy" / "proxy" / "Caddyfile"
_EVENTS = EVENTS_PATH.replace("{projectId}", "museum")
_ANALYTICS = ANALYTICS_PATH.replace("{projectId}", "museum")
_STARTS_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Both compose files as compose merges them, with the variables of `make env` and a host."""
    folder = tmp_path_factory.mktemp("compose")
    lines = [*environment.text().splitlines(), "API_HOST=analytics.example"]
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    names = []
    for file in (COMPOSE, PROXY):
        # The loader's command line has no place for variables.
        (folder / file.name).write_text(filled(file.read_text("utf-8"), values), "utf-8")
        names.append(file.name)
    done = subprocess.run(
        [go_tool(COMPOSE_LOADER), "-format=json", *names],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Json = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ["ingest", "query"])
def test_services_behind_the_proxy_trust_its_address_and_are_published_no_more(
    merged: Json, name: str
) -> None:
    service, proxy = merged["services"][name], merged["services"]["proxy"]
    told = dict(one.split("=", 1) for one in service["environment"])

    assert told["RAGTIME_TRUSTED_PROXIES"] == proxy["networks"]["edge"]["ipv4_address"]
    assert told["RAGTIME_CLICKHOUSE__USER"] == name, "the rest stays as it is"
    assert not service.get("ports")
    assert set(service["networks"]) == {"back", "front", "edge"}
    assert set(proxy["networks"]) & set(service["networks"]) == {"edge"}


def test_address_of_the_proxy_is_given_to_nobody_else(merged: Json) -> None:
    (pool,) = merged["networks"]["edge"]["ipam"]["config"]
    own = IPv4Address(merged["services"]["proxy"]["networks"]["edge"]["ipv4_address"])

    assert own in IPv4Network(pool["subnet"])
    assert own not in IPv4Network(pool["ip_range"])
    assert IPv4Network(pool["ip_range"]).subnet_of(IPv4Network(pool["subnet"]))
    assert merged["networks"]["edge"]["internal"] is True


def test_proxy_is_limited_and_hardened_as_the_others(merged: Json) -> None:
    proxy = merged["services"]["proxy"]

    assert proxy["cap_drop"] == ["ALL"]
    assert proxy["cap_add"] == ["NET_BIND_SERVICE"]
    assert proxy["read_only"] is True
    assert "no-new-privileges:true" in proxy["security_opt"]
    assert {"cpus", "memory", "pids"} <= proxy["deploy"]["resources"]["limits"].keys()
    assert {"max-size", "max-file"} <= proxy["logging"]["options"].keys()
    assert proxy["image"] == f"caddy:{CADDY.rpartition('@v')[2]}"


@pytest.mark.parametrize("tls", ["", "tls internal"])
def test_caddyfile_is_valid_and_looks_as_caddy_writes_it(tls: str, tmp_path: Path) -> None:
    told = {"API_HOST": "analytics.example", "API_TLS": tls, "HOME": str(tmp_path)}
    for arguments in (["validate", "--adapter=caddyfile", "--config"], ["fmt", "--diff"]):
        done = subprocess.run(
            [go_tool(CADDY), *arguments, str(CADDYFILE)],
            env=os.environ | told,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Upstream:
    """A service in place of ingest or query, which tells what it was asked and by whom."""

    name: str
    server: HTTPServer

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"


@contextmanager
def upstream(name: str) -> Iterator[Upstream]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = {"service": name, "path": self.path, "headers": dict(self.headers)}
            text = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.do_GET()

        def do_OPTIONS(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Upstream(name, server)
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def proxied(folder: Path, ingest: str, query: str) -> Iterator[httpx.Client]:
    """A client of the one host. Caddy runs as in its container, but for ports and certificate."""
    port = free_port()
    authority = trustme.CA()
    own = authority.issue_cert("localhost")
    own.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    own.private_key_pem.write_to_path(folder / "tls.key")
    text = CADDYFILE.read_text("utf-8")
    # Without the port 80, and on loopback.
    options = "\n{\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n"
    (folder / "Caddyfile").write_text(text.replace("\n{\n", options, 1), "utf-8")
    told = {
        "API_HOST": f"https://localhost:{port}",
        "API_TLS": f"tls {folder}/tls.crt {folder}/tls.key",
        "INGEST": ingest,
        "QUERY": query,
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
        "HOME": str(folder),
    }
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    command = [str(go_tool(CADDY)), "run", "--config", str(folder / "Caddyfile")]
    with (folder / "log").open("wb") as log, ExitStack() as closing:
        process = subprocess.Popen(command, env=os.environ | told, stdout=log, stderr=log)
        closing.callback(process.wait)
        closing.callback(process.terminate)
        client = closing.enter_context(
            httpx.Client(base_url=told["API_HOST"], verify=trusted, trust_env=False, timeout=30)
        )
        wait_until(lambda: _answers(client), (folder / "log").read_text(), _STARTS_WITHIN_S)
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 404
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def one_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The one host, in front of services that tell what they were asked."""
    folder = tmp_path_factory.mktemp("proxy")
    with (
        upstream("ingest") as ingest,
        upstream("query") as query,
        proxied(folder, ingest.address, query.address) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", _EVENTS, "ingest"),
        ("POST", f"{_EVENTS}/", "ingest"),
        ("OPTIONS", _EVENTS, "ingest"),
        ("GET", _EVENTS, "ingest"),
        ("GET", _ANALYTICS, "query"),
        ("OPTIONS", _ANALYTICS, "query"),
        ("GET", "/api/v1/projects/events/analytics", "query"),
        ("POST", f"{_EVENTS}/more", "query"),
        ("GET", "/openapi.json", "query"),
    ],
)
def test_each_request_reaches_its_service_as_it_was_sent(
    one_host: httpx.Client, method: str, path: str, service: str
) -> None:
    told = one_host.request(method, f"{path}?a=b%2Fc").json()

    assert (told["service"], told["path"]) == (service, f"{path}?a=b%2Fc")
    assert told["headers"]["Host"] == one_host.base_url.netloc.decode()


@pytest.mark.parametrize("path", ["/healthz/live", "/healthz/ready", "/metrics", "/", "/docs"])
def test_nothing_else_is_shown(one_host: httpx.Client, path: str) -> None:
    answer = one_host.get(path)

    assert (answer.status_code, answer.content) == (404, b"")


def test_what_a_caller_says_of_itself_is_not_passed_on(one_host: httpx.Client) -> None:
    forged = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "gopher"}

    told = one_host.get(_ANALYTICS, headers=forged).json()["headers"]

    assert told["X-Forwarded-For"] == "127.0.0.1"
    assert told["X-Forwarded-Proto"] == "https"


@pytest.mark.e2e
def test_events_go_in_and_counts_come_out_by_one_host(stack: Stack, tmp_path: Path) -> None:
    (project,) = stack.new_projects(1)
    ingest, query = (stack.services[name].url for name in ("ingest", "query"))
    bearer = {"Authorization": f"Bearer {project.live_key}"}
    message = {"type": "chat.message", "role": "user", "sessionId": "s", "conversationId": "c"}

    with proxied(tmp_path, ingest, query) as client:
        sent = client.post(f"/api/v1/projects/{project.id}/events", json=message, headers=bearer)
        assert (sent.status_code, sent.json()["accepted"]) == (202, 1)
        counts = f"/api/v1/projects/{project.id}/analytics"

        def counted() -> bool:
            answer = client.get(counts, params={"category": "usage"}, headers=bearer)
            return bool(answer.raise_for_status().json()["stats"])

        wait_until(counted, "it is counted")
