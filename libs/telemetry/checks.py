"""The checks of readiness as a metric, for who runs the services without an orchestrator."""

from collections.abc import Callable, Mapping
from functools import partial

from libs.telemetry.metrics import READY_CHECK


def show_checks(checks: Callable[[], Mapping[str, bool]]) -> None:
    """Show what the checks say at each moment at which somebody looks."""
    for name in checks():
        READY_CHECK.labels(name).set_function(partial(_value, checks, name))


def _value(checks: Callable[[], Mapping[str, bool]], name: str) -> float:
    return float(checks()[name])
