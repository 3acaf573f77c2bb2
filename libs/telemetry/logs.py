"""Structured logs: one JSON object a line, a constant dotted event name and fields.

Never a payload, a key, an address or a user agent: the call sites hand over counts and names.
"""

import asyncio
import atexit
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TextIO, cast

import msgspec
import structlog

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_REPEAT_INTERVAL_S = 5.0
_MAX_REPEAT_INTERVAL_S = 300.0
# A loop that says nothing for so long is not waiting any more: what it says next is news.
_IS_OVER_AFTER_S = 60.0
_MAX_REMEMBERED = 1_000
# What loops say each time, for as long as it lasts; and all that ends with `.waiting`.
_OF_LOOPS = {
    "dead_letters.limit_reached",
    "keys.refresh_failed",
    "membership.refused",
    "topic.mismatch",
}

# Made once: `json.dumps` would make it for each line. What JSON has no word for is written as
# Python spells it: a line must never fail.
_encode = json.JSONEncoder(default=repr).encode

Logger = structlog.typing.FilteringBoundLogger

_request_lines: "LineWriter | None" = None


def configure_logs(service: str, level: str, stream: TextIO = sys.stdout) -> None:
    """Send our own log lines and those of the libraries to a stream as JSON lines.

    Services write to standard output; a command, whose output is its answer, does not.
    """
    shared: list[structlog.typing.Processor] = [
        partial(_name_the_service, service),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    global _request_lines  # noqa: PLW0603 - as structlog's own settings are
    writer = LineWriter(stream)
    _request_lines = writer if _LEVELS[level] <= logging.INFO else None
    structlog.configure(
        processors=[LessOften(time.monotonic), *shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
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


class LineWriter:
    """Writes lines. Those of one turn of an event loop go out together, where nothing is wrong.

    A line of its own costs a system call, and requests are answered many in a turn. What warns or
    tells an error is written at once, with all before it: the process may end on it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque()  # of other threads too
        atexit.register(self.flush)

    def info(self, line: str) -> None:
        """Write it soon: within the turn, or at once where there is no loop."""
        is_first = not self._lines
        self._lines.append(line)
        try:
            if is_first:
                asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:
            self.flush()

    debug = info

    def error(self, line: str) -> None:
        """Write it now."""
        self._lines.append(line)
        self.flush()

    warning = error

    def flush(self) -> None:
        """Write all that waits."""
        lines = [f"{self._lines.popleft()}\n" for _ in range(len(self._lines))]
        self._stream.write("".join(lines))
        self._stream.flush()


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


@dataclass
class _Repeated:
    """A line that a loop repeats: when it was last written, and what became of it since."""

    written_at: float
    said_at: float
    interval_s: float = _REPEAT_INTERVAL_S
    not_written: int = 0


class LessOften:
    """Lets a loop say the same thing less and less often: after 5 s, 10 s, up to 5 minutes.

    The same thing: the same event with the same fields. `not_written` tells how often it was said
    in between.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: dict[str, _Repeated] = {}

    def __call__(
        self, _logger: object, _method: str, fields: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """The fields, or DropEvent where the line is not written."""
        event = str(fields["event"])
        if not (event.endswith(".waiting") or event in _OF_LOOPS):
            return fields
        text, now = repr(fields), self._clock()
        line = self._lines.get(text)
        if line is None or now - line.said_at > _IS_OVER_AFTER_S:
            self._begin(text, now)
            return fields
        line.said_at = now
        if now - line.written_at < line.interval_s:
            line.not_written += 1
            raise structlog.DropEvent
        interval_s = min(2 * line.interval_s, _MAX_REPEAT_INTERVAL_S)
        self._lines[text] = _Repeated(now, now, interval_s)
        fields["not_written"] = line.not_written
        return fields

    def _begin(self, text: str, now: float) -> None:
        if len(self._lines) >= _MAX_REMEMBERED:
            self._lines.clear()
        self._lines[text] = _Repeated(now, now)


def _render(_logger: object, _method: str, fields: structlog.typing.EventDict) -> str:
    return _encode(fields)


class RequestLine(msgspec.Struct):
    """The line of a request. Structlog's way would take a tenth of all that a small one costs.

    `key_id`: the public name of the key that was shown, where it is good; `code`: of the problem
    that was answered; `rejected`: how many of its events were refused.
    """

    service: str
    method: str
    route: str
    status: int
    duration_ms: float
    request_id: str
    timestamp: datetime
    event: str = "request.answered"
    level: str = "info"
    key_id: str | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    rejected: int | msgspec.UnsetType = msgspec.UNSET


_encode_request = msgspec.json.Encoder().encode


def log_request(line: RequestLine) -> None:
    """Write the line, if lines of its level are wanted."""
    if _request_lines is not None:
        _request_lines.info(_encode_request(line).decode())


def _name_the_service(
    service: str, _logger: object, _method: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    fields["service"] = service
    return fields


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
