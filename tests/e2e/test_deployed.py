"""What the chart and docker-compose.yml run beside the services, on services that run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from deploy.settings import CHART
from tests.deploy.compose_file import filled, services
from tests.e2e.processes import CHECKOUT, try_command
from tests.e2e.stack import ANY_DISK, Stack
from tests.ports import free_port
from tests.servers import Servers
from tests.valkey_server import ValkeyServer, valkey_server

pytestmark = pytest.mark.e2e

_SCRIPT = (CHART / "files" / "test.py").read_text("utf-8")
_HELM_TEST = _SCRIPT.replace("READY_WITHIN_S = 60", "READY_WITHIN_S = 2")


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as running:
        yield running


@dataclass(frozen=True)
class Deployed:
    """A healthy stack of its own, and the variables that docker-compose.yml gives `ragtime`."""

    stack: Stack
    told: dict[str, str]

    def helm_test(self, *urls: str) -> tuple[int, str]:
        """How the script of `helm test` ends, and what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", _HELM_TEST, *urls],
            cwd=CHECKOUT,
            env=os.environ | self.told,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def urls(self) -> list[str]:
        return [self.stack.services[name].url for name in ("ingest", "query")]


@pytest.fixture(scope="module")
def deployed(own_stack: Stack, real_servers: Servers, valkey: ValkeyServer) -> Deployed:
    (project,) = own_stack.new_projects(1)
    message = {"type": "chat.message", "role": "user", "sessionId": "s", "conversationId": "c"}
    own_stack.post_events(project, [message])
    own_stack.wait_until_counted()
    passwords = {
        f"CLICKHOUSE_{name.upper()}_PASSWORD": one.password
        for name, one in real_servers.users.items()
    }
    of_compose = services()["ragtime"]["environment"]
    told = {name: filled(str(value), passwords) for name, value in of_compose.items()}
    # Where compose's services are in compose's network, ours are elsewhere.
    places = told["RAGTIME_DOCTOR__SERVICES"].split(",")
    assert {urlsplit(place).hostname for place in places} == own_stack.services.keys()
    elsewhere = {
        "RAGTIME_RATE_LIMIT__STORE_URL": valkey.url,
        "RAGTIME_DOCTOR__SERVICES": ",".join(one.url for one in own_stack.services.values()),
    }
    return Deployed(own_stack, told | own_stack.environment | elsewhere | ANY_DISK)


def test_doctor_is_quiet_on_a_healthy_stack_with_the_variables_of_compose(
    deployed: Deployed,
) -> None:
    done = try_command(deployed.told, "doctor", "--json")

    found = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert {name: one["seen"] for name, one in found.items() if one["status"] != "ok"} == {}
    assert done.code == 0


def test_helm_test_is_content_when_all_is_well(deployed: Deployed) -> None:
    code, said = deployed.helm_test(*deployed.urls())

    assert code == 0, said
    assert "/healthz/ready: 200" in said
    assert "/openapi.json: /api/v1/projects/{projectId}/events" in said


def test_helm_test_names_a_service_that_does_not_answer(deployed: Deployed) -> None:
    ingest, _ = deployed.urls()
    gone = f"http://127.0.0.1:{free_port()}"

    code, said = deployed.helm_test(ingest, gone)

    assert code == 1
    assert f"{gone}/healthz/ready: no answer" in said


def test_helm_test_fails_when_something_else_answers(deployed: Deployed) -> None:
    processor = deployed.stack.services["processor"].url

    code, said = deployed.helm_test(processor)

    assert code == 1
    assert f"{processor}/openapi.json: 404, no API" in said


def test_helm_test_fails_when_the_doctor_finds_a_failure(deployed: Deployed) -> None:
    wrong = deployed.told | {"RAGTIME_CLICKHOUSE__URL": f"http://127.0.0.1:{free_port()}"}

    code, said = Deployed(deployed.stack, wrong).helm_test(*deployed.urls())

    assert code == 1
    assert "/healthz/ready: 200" in said
