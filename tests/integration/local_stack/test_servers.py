"""The servers of the tests themselves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.layout import CHECKOUT
from tests.integration.local_stack.running import until

pytestmark = pytest.mark.integration

_SCRIPT = """
import json, sys
from tests.servers import servers
with servers() as found:
    print(json.dumps([found.kind, found.kafka, found.clickhouse_url]), flush=True)
    sys.stdin.read()
"""


def _started(**variables: str) -> subprocess.Popen[str]:
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith("RAGTIME_TEST")
    }
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT],
        cwd=CHECKOUT,
        env=plain | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _holders(folder: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if folder.encode() in environment:
            found.append(process.name)
    return found


def test_nothing_is_left_running_when_the_tests_are_ended(tmp_path: Path) -> None:
    process = _started(TMPDIR=str(tmp_path))
    assert process.stdout is not None
    kind = json.loads(process.stdout.readline())[0]
    assert kind in {"local stack", "testcontainers"}

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert process.returncode != 0
    assert until(lambda: _holders(str(tmp_path)) == [], timeout_s=5)
    assert list(tmp_path.iterdir()) == []


def test_error_is_loud_when_only_one_server_is_named() -> None:
    process = _started(RAGTIME_TEST_KAFKA="127.0.0.1:1")

    _, said = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "RAGTIME_TEST_CLICKHOUSE_URL" in said
