"""`ragtime` in a cluster: the same verbs, by the setting alone."""

import pytest
from typer.testing import CliRunner, Result

from libs.settings import ClickHouseSettings
from services.admin.app import app

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def named(cluster_settings: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster, named in the environment."""
    for name in ("url", "user", "database", "cluster"):
        monkeypatch.setenv(f"RAGTIME_CLICKHOUSE__{name.upper()}", getattr(cluster_settings, name))
    password = cluster_settings.password.get_secret_value()
    monkeypatch.setenv("RAGTIME_CLICKHOUSE__PASSWORD", password)
    monkeypatch.setenv("RAGTIME_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("RAGTIME_ACCESS__PEPPER", "p" * 32)


def ragtime(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_tables_keys_and_retention_are_made_when_the_setting_names_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ragtime("migrate", "--check").exit_code == 1
    made = ragtime("migrate")
    assert made.exit_code == 0, made.output
    assert "raw events: kept for 400 days" in made.output
    assert ragtime("migrate", "--check").exit_code == 0
    assert "up to date" in ragtime("migrate").output

    created = ragtime("keys", "create", "--project", "p", "--scope", "events:write")
    assert created.exit_code == 0, created.output
    assert '"projectId": "p"' in ragtime("keys", "list", "--json").output

    monkeypatch.setenv("RAGTIME_RETENTION__EVENTS_DAYS", "500")
    applied = ragtime("retention", "--apply")
    assert "kept for 500 days from now on; before: for 400 days" in applied.output

    monkeypatch.delenv("RAGTIME_CLICKHOUSE__CLUSTER")
    refused = ragtime("migrate")
    assert refused.exit_code == 1
    assert "was made for a cluster" in refused.output
