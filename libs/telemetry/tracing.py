"""Traces are off unless an endpoint is set; then OpenTelemetry's SDK is not even imported."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from libs.settings import TraceSettings

if TYPE_CHECKING:
    from libs.telemetry.spans import Traces

TRACEPARENT = "traceparent"  # W3C's header; a record carries it under the same name


@contextmanager
def tracing(service: str, settings: TraceSettings) -> Iterator["Traces | None"]:
    """The traces of a service while the block runs; None when they are off.

    Exit code 2, and a line that says why, when the packages for them are not installed.
    """
    if settings.endpoint is None:
        yield None
        return
    try:
        from libs.telemetry.spans import exporting  # noqa: PLC0415 - an extra, see above
    except ImportError as error:
        sys.stderr.write(
            f"RAGTIME_TRACES__ENDPOINT: {error.name} is missing; install the extra `traces`"
            " (requirements/traces.txt; an image: --build-arg EXTRAS=traces), or leave it unset\n"
        )
        sys.exit(2)
    traces = exporting(service, settings)
    try:
        yield traces
    finally:
        traces.close()
