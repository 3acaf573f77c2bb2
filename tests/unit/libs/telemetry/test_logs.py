"""One event, one line, whatever a field holds."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from libs.telemetry.logs import configure_logs, get_logger
from libs.telemetry.traces import places_of

_NASTY = "a\nb\r\nc\x00d\x1be\x85f\u2028g\u2029h\u202ei\ud800j\"k\\l{x:String}'--"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _written(text: object) -> list[str]:
    stream = io.StringIO()
    configure_logs("test", "info", stream)
    get_logger().warning("thing.happened", field=text, fields=[text, {"inner": text}])
    logging.getLogger("a.library").warning("said: %s", text)
    return stream.getvalue().removesuffix("\n").split("\n")


@given(st.one_of(st.just(_NASTY), st.text(), st.binary(), st.floats()))
def test_event_is_one_line_of_ascii_json_whatever_a_field_holds(text: object) -> None:
    lines = _written(text)

    assert [json.loads(line)["event"] for line in lines] == ["thing.happened", "library.message"]
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_trace_tells_kinds_and_places_and_no_text_when_errors_led_to_each_other() -> None:
    def fail() -> None:
        try:
            int("a canary")
        except ValueError as error:
            raise KeyError(str(error)) from error

    with pytest.raises(KeyError) as caught:
        fail()

    trace = places_of(caught.value)
    assert trace.index("ValueError") < trace.index("KeyError")
    assert "in fail" in trace
    assert "invalid literal" not in trace
