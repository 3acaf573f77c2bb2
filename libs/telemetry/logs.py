"""Structured logs: one JSON object a line, a constant dotted event name and fields.

Never a payload, a key, an address or a user agent: the call sites hand over counts and names.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO, cast

import structlog

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_REPEAT_INTERVAL_S = 5.0
_MAX_REMEMBERED = 1_000

# Made once: `json.dumps` would make it for each line. What JSON has no word for is written as
# Python spells it: a line must never fail.
_encode = json.JSONEncoder(default=repr).encode

Logger = structlog.typing.FilteringBoundLogger


def configure_logs(service: str, level: str, stream: TextIO = sys.stdout) -> None:
    """Send our own log lines and those of the libraries to a stream as JSON lines.

    Services write to standard output; a command, whose output is its answer, does not.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_the_library],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _render,
            ],
        )
    )
    handler.addFilter(OncePerInterval(time.monotonic))
    # Libraries speak only when something is wrong; their usual talk is not ours to keep.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class OncePerInterval(logging.Filter):
    """Lets a library say the same thing once in a few seconds: retry loops say it each time.

    The same thing: the same text before its arguments are put in.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._said_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        text, now = (record.name, str(record.msg)), self._clock()
        if now - self._said_at.get(text, -_REPEAT_INTERVAL_S) < _REPEAT_INTERVAL_S:
            return False
        if len(self._said_at) >= _MAX_REMEMBERED:
            self._said_at.clear()
        self._said_at[text] = now
        return True


def _render(_logger: object, _method: str, fields: structlog.typing.EventDict) -> str:
    return _encode(fields)


def _name_the_library(
    _logger: object, _method: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    record = fields.get("_record")
    fields["library"] = record.name if isinstance(record, logging.LogRecord) else "unknown"
    fields["message"] = fields.pop("event")
    fields["event"] = "library.message"
    return fields


def get_logger() -> Logger:
    """The logger of a module; fields are given at the call."""
    return cast("Logger", structlog.get_logger())
