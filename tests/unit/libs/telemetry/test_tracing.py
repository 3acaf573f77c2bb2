"""Traces are off unless they are asked for, and then they say what they need."""

import subprocess
import sys

import pytest

from libs.settings import TraceSettings
from libs.telemetry.tracing import tracing

_LOADED = """
import sys
import services.{service}.app
print(*(name for name in sys.modules if name.startswith("opentelemetry.sdk")))
"""


@pytest.mark.parametrize("service", ["ingest", "processor", "query"])
def test_nothing_of_the_sdk_is_imported_when_traces_are_off(service: str) -> None:
    code = _LOADED.format(service=service)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_there_are_no_traces_when_no_endpoint_is_set() -> None:
    with tracing("ingest", TraceSettings()) as traces:
        assert traces is None


def test_service_says_what_is_missing_when_the_extra_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "libs.telemetry.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = TraceSettings(endpoint="http://127.0.0.1:9/v1/traces")
    with pytest.raises(SystemExit) as end, tracing("ingest", settings):
        pass
    assert end.value.code == 2
    assert "install the extra `traces`" in capsys.readouterr().err
