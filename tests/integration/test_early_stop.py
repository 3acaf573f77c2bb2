"""SIGTERM while a service starts: it ends with exit code 0, however far it has come."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import CHECKOUT, Service
from tests.e2e.waiting import wait_until
from tests.ports import free_port

pytestmark = pytest.mark.integration

SERVICES = ["ingest", "processor", "query"]

# Runs a service whose import of all the rest never ends.
_IMPORTING = """
import importlib.abc, runpy, sys, time

class Hangs(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "services.{service}.app":
            print("importing", flush=True)
            time.sleep(600)

sys.meta_path.insert(0, Hangs())
runpy.run_module("services.{service}", run_name="__main__")
"""


@pytest.mark.parametrize("service", SERVICES)
def test_service_ends_with_0_when_it_is_told_to_stop_while_it_is_imported(service: str) -> None:
    command = [sys.executable, "-c", _IMPORTING.format(service=service)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize("service", SERVICES)
def test_service_ends_with_0_when_it_is_told_to_stop_while_it_waits_for_servers(
    tmp_path: Path, service: str
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    environment = {
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": nowhere,
        "RAGTIME_CLICKHOUSE__URL": f"http://{nowhere}",
        "RAGTIME_CLICKHOUSE__USER": "nobody",
        "RAGTIME_CLICKHOUSE__PASSWORD": "nothing",
        "RAGTIME_ACCESS__PEPPER": "p" * 32,
    }
    process = Service(service, environment, tmp_path / "service.log")
    process.start()
    try:
        wait_until(lambda: "clickhouse.waiting" in process.log.read_text("utf-8"), "it waits")
        process.stop()
    finally:
        process.kill()
    assert "Traceback" not in process.log.read_text("utf-8")
