"""What was found as metrics, and as a file for node_exporter's collector of text files."""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from services.admin.doctor.findings import EXIT_CODES, Finding


def metrics_of(found: Mapping[str, Finding]) -> CollectorRegistry:
    """All of it as metrics, and that it was found now."""
    registry = CollectorRegistry()
    checks = Gauge(
        "ragtime_doctor_check",
        "What a check of `ragtime doctor` found; 0: well, 1: a warning, 2: a failure",
        ["check"],
        registry=registry,
    )
    for name, finding in found.items():
        checks.labels(name).set(EXIT_CODES[finding.status])
    examined_at = Gauge(
        "ragtime_doctor_examined_timestamp_seconds", "When it looked", registry=registry
    )
    examined_at.set_to_current_time()
    return registry


def write_metrics(path: Path, found: Mapping[str, Finding]) -> None:
    """Write the file, whole or not at all. Raises OSError where that cannot be done."""
    write_to_textfile(str(path), metrics_of(found))
