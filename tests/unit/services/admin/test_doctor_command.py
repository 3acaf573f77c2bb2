"""The verb `ragtime doctor` on checks that ask no server: how it ends, and whom it tells."""

import json

import pytest
from typer.testing import CliRunner, Result

from services.admin.app import app
from services.admin.doctor.examination import CHECKS

# With several replicas and no store of limits `settings` warns; `ragtime` is always well.
_LEFT_OUT = [f"--skip={name}" for name in CHECKS if name not in {"ragtime", "settings"}]


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "KAFKA__BOOTSTRAP_SERVERS": "k:1",
        "CLICKHOUSE__URL": "http://c:1",
        "CLICKHOUSE__USER": "u",
        "CLICKHOUSE__PASSWORD": "p",
        "ACCESS__PEPPER": "p" * 32,
        "DOCTOR__REPLICAS": "6",
    }.items():
        monkeypatch.setenv(f"RAGTIME_{name}", value)


def doctor(*options: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--json", *_LEFT_OUT, *options])


def test_warnings_end_it_with_an_exit_code_of_their_own() -> None:
    result = doctor()

    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["verdict"] == "warn"


def test_warnings_pass_when_they_are_let() -> None:
    result = doctor("--warnings-pass")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["verdict"] == "warn", "they are shown all the same"


def test_failures_do_not_pass_when_warnings_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # A dead-letter topic that is the topic of events.
    monkeypatch.setenv("RAGTIME_KAFKA__DEAD_LETTER_TOPIC", "events")

    assert doctor("--warnings-pass").exit_code == 2
