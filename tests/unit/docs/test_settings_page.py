"""docs/settings.md tells of each setting what an operator must know, under the name that counts."""

import json
from collections.abc import Iterator

import pytest

from deploy.local.layout import CHECKOUT
from deploy.settings import CHART, PAGE, Setting, all_settings
from libs.settings import ServiceSettings, load_settings
from services.admin.settings import DoctorSettings
from services.ingest.settings import Settings as IngestSettings
from services.processor.settings import Settings as ProcessorSettings
from services.query.settings import Settings as QuerySettings

PROCESSES: dict[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "processor": ProcessorSettings,
    "query": QuerySettings,
    "ragtime": DoctorSettings,
}


def numbers(process: str) -> Iterator[Setting]:
    for setting in all_settings():
        if setting.process == process and setting.schema.get("type") in {"integer", "number"}:
            yield setting


def test_every_setting_has_a_row_when_the_page_is_written() -> None:
    text = PAGE.read_text("utf-8")
    assert len(all_settings()) > 60
    for setting in all_settings():
        rows = text.count(f"\n| `{setting.variable}` | ")
        assert rows == 1, f"{setting.variable} has {rows} rows: run `make documents`"


def test_every_setting_says_what_it_means_when_the_code_has_it() -> None:
    silent = [one.variable for one in all_settings() if not one.schema.get("description")]
    assert not silent, f"{silent}: `Field(…, description=…)` is missing in the settings class"


@pytest.mark.parametrize("process", PROCESSES)
def test_setting_is_read_by_its_process_when_the_page_says_so(
    process: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {one.variable for one in numbers(process)}
    for name in expected:
        monkeypatch.setenv(name, "many")

    with pytest.raises(SystemExit):
        load_settings(PROCESSES[process])

    complaints = {line.partition(":")[0] for line in capsys.readouterr().err.splitlines()}
    assert expected <= complaints


def test_defaults_and_ranges_are_those_of_the_code_when_a_row_is_read() -> None:
    text = PAGE.read_text("utf-8")
    for row in (
        "| `RAGTIME_HTTP__PORT` | `8081` (ingest), `8082` (processor), `8080` (query) | 1 to ",
        "| `RAGTIME_ACCESS__PEPPER` | required | a secret of 32 characters or more; or a file ",
        "| `RAGTIME_ACCESS__REFRESH_INTERVAL_S` | `2` | above 0, to 4 |",
        "| `RAGTIME_TRUSTED_PROXIES` | `[]` | values with commas between them, or a JSON list |",
        "| `RAGTIME_RATE_LIMIT__STORE_URL` | none | a secret; or a file with it, by `RAGTIME_RATE_",
        "| `RAGTIME_LOG__LEVEL` | `info` | `debug`, `info`, `warning`, `error` | all |",
    ):
        assert row in text


def test_no_secret_may_be_a_value_when_the_charts_schema_is_read() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    named = {
        name
        for part in ("ingest", "processor", "query", "admin")
        for name in schema["definitions"][f"{part}Settings"]["properties"]
    }
    secrets = {one.variable for one in all_settings() if one.is_secret}
    assert len(secrets) >= 4
    assert named & secrets == set()
    assert {one.variable for one in all_settings()} >= named


def test_chart_is_of_this_version_when_it_is_released() -> None:
    pyproject = (CHECKOUT / "pyproject.toml").read_text("utf-8")
    (version,) = (line for line in pyproject.splitlines() if line.startswith("version = "))
    chart = (CHART / "Chart.yaml").read_text("utf-8")
    assert f"appVersion: {version.removeprefix('version = ')}" in chart
