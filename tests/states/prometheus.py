"""A Prometheus of a test: it fetches the services' metrics and evaluates the rules that we ship."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.tools import PROMETHEUS, PROMETHEUS_OPTION, go_tool
from tests.e2e.processes import Process, Service
from tests.e2e.waiting import wait_until
from tests.local_http import HTTP
from tests.ports import free_port
from tests.promql import RULES

_STARTS_WITHIN_S = 60.0


class Prometheus:
    """One server; its targets may change while it runs."""

    def __init__(self, folder: Path) -> None:
        self._targets = folder / "targets.json"
        self._port = free_port()
        configuration = folder / "prometheus.yml"
        configuration.write_text(yaml.safe_dump(self._configuration()), "utf-8")
        command = [
            str(go_tool(PROMETHEUS, PROMETHEUS_OPTION)),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self.process = Process("prometheus", command, {}, folder / "prometheus.log", folder)

    def _configuration(self) -> dict[str, Any]:
        # As in deploy/prometheus/prometheus.yml, but for where the services are.
        return {
            "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "ragtime",
                    "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "5s"}],
                }
            ],
        }

    def watch(self, services: Sequence[Service]) -> None:
        """Fetch the metrics of these from now on."""
        targets = [f"127.0.0.1:{service.port}" for service in services]
        self._targets.write_text(json.dumps([{"targets": targets}]), "utf-8")

    def is_up(self) -> bool:
        try:
            return HTTP.get(f"http://127.0.0.1:{self._port}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        answer = HTTP.get(f"http://127.0.0.1:{self._port}/api/v1/alerts").json()
        alerts = answer["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


@contextmanager
def running_prometheus(folder: Path, services: Sequence[Service]) -> Iterator[Prometheus]:
    """A server that watches these, until the end of the block."""
    prometheus = Prometheus(folder)
    prometheus.watch(services)
    prometheus.process.start()
    try:
        wait_until(prometheus.is_up, "Prometheus answers", _STARTS_WITHIN_S)
        yield prometheus
    finally:
        prometheus.process.kill()
