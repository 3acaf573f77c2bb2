"""/metrics on a port of its own, where the service's own port is open to strangers."""

import sys

from prometheus_client import start_http_server
from prometheus_client.registry import Collector

from libs.settings import HttpSettings


def serve_metrics(settings: HttpSettings, shown: Collector) -> None:
    """Answer on the port for metrics, where there is one, from a thread that ends with the process.

    A port that cannot be had ends the process with exit code 2, as every wrong setting does.
    """
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.host, shown)
    except OSError as error:
        sys.stderr.write(f"RAGTIME_HTTP__METRICS_PORT: {error.strerror}\n")
        sys.exit(2)
