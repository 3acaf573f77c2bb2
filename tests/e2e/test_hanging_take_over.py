"""A take-over that hangs though both servers answer: liveness tells, and only then."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.processes import Service, run_command
from tests.e2e.stack import environment_of, topics_of, user_of
from tests.e2e.waiting import wait_until
from tests.servers import Servers

pytestmark = pytest.mark.e2e

# As a call into Faust's own thread that never returns; and, before it, one that takes its time.
_HANGS = """
import asyncio
from services.processor import app, watchdog
from services.processor.recovery import Recovery

async def recover(self, numbers, known=None):
    for _ in range(6):
        await self._last_records(sorted(numbers))
        await asyncio.sleep(3.0)
    print("it hangs", flush=True)
    await asyncio.Event().wait()

Recovery.recover = recover
watchdog.TAKE_OVER_S = 10.0
app.main()
"""


@pytest.fixture
def processor(real_servers: Servers, tmp_path: Path) -> Iterator[Service]:
    environment = environment_of(real_servers) | {"RAGTIME_CLICKHOUSE__TIMEOUT_S": "5"}
    with ExitStack() as closing:
        run_command(environment, "init")
        closing.callback(topics_of(environment).delete)
        own = environment | user_of(real_servers, "processor")
        service = Service("processor", own, tmp_path / "log")
        service.command = [sys.executable, "-c", _HANGS]
        closing.callback(service.close)
        yield service


def test_processor_is_live_until_its_take_over_hangs(processor: Service) -> None:
    processor.start()
    wait_until(lambda: _status(processor) == "take_over_hangs", "it is seen", 120)

    lines = processor.log.read_text("utf-8").splitlines()
    hung = next(place for place, one in enumerate(lines) if one == "it hangs")
    told = next(place for place, one in enumerate(lines) if '"take_over.hangs"' in one)
    assert hung < told, "it had got on until then"
    assert json.loads(lines[told])["level"] == "error"


def _status(service: Service) -> str:
    try:
        return str(httpx.get(f"{service.url}/healthz/live", timeout=5).json()["status"])
    except httpx.HTTPError:
        return ""
