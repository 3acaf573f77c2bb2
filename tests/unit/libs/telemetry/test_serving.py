"""The port for metrics alone."""

import socket
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from libs.settings import HttpSettings
from libs.telemetry.metrics import shown_by
from libs.telemetry.serving import serve_metrics


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.enable_socket
def test_process_ends_with_the_name_of_the_setting_when_its_port_is_taken(
    taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        serve_metrics(HttpSettings(port=8080, metrics_port=taken_port), shown_by("query"))
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("RAGTIME_HTTP__METRICS_PORT: ")


def test_nothing_is_served_when_there_is_no_port_for_it() -> None:
    serve_metrics(HttpSettings(port=8080), shown_by("query"))


def test_settings_are_refused_when_both_ports_are_one() -> None:
    with pytest.raises(ValidationError, match="METRICS_PORT must be another one than PORT"):
        HttpSettings(port=8080, metrics_port=8080)
