"""docker-compose.yml: limits on everything, nothing open, no secret by default, known settings."""

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from deploy.docker import environment
from deploy.local import kafka
from deploy.local.layout import CHECKOUT
from services.admin.settings import DoctorSettings, InitSettings, KeySettings
from services.ingest.settings import Settings as IngestSettings
from services.processor.settings import Settings as ProcessorSettings
from services.query.settings import Settings as QuerySettings
from tests.deploy.compose_file import compose, filled, services, variables
from tests.deploy.tools import AMTOOL, PROMTOOL

OURS: dict[str, tuple[type[BaseSettings], ...]] = {
    "ingest": (IngestSettings,),
    "processor": (ProcessorSettings,),
    "query": (QuerySettings,),
    "init": (InitSettings,),
    "ragtime": (DoctorSettings, KeySettings),
    "demo": (InitSettings, KeySettings),
}
ONCE = {"init", "ragtime", "demo"}
PUBLISHED = {"ingest", "query", "grafana"}
# What cannot start in a container that it may not write to; each says why in the file.
WRITABLE = {"kafka", "grafana"}
# What the images themselves ask, without a word.
HEALTH_CHECK = ["python", "-I", "-S", "/opt/ragtime/healthcheck.py"]
SERVICES = services()
BY_NAME = pytest.mark.parametrize("name", SERVICES)


@BY_NAME
def test_each_service_has_limits_and_rotates_its_log(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert {"max-size", "max-file"} <= set(SERVICES[name]["logging"]["options"])


@BY_NAME
def test_each_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service.get("read_only", False) is (name not in WRITABLE)
    assert "privileged" not in service
    assert "/var/run/docker.sock" not in str(service)


@BY_NAME
def test_what_runs_on_is_started_again_and_has_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    runs_on = {key: service.get(key) for key in ("restart", "stop_grace_period")}
    if name in ONCE:
        assert runs_on == {"restart": None, "stop_grace_period": None}
    else:
        assert runs_on["restart"] == "unless-stopped"
        assert runs_on["stop_grace_period"]


@pytest.mark.parametrize("name", ["ingest", "processor", "query"])
def test_time_to_stop_holds_the_drain(name: str) -> None:
    (settings,) = OURS[name]
    stop = settings.model_fields["stop"].default
    given = filled(SERVICES[name]["stop_grace_period"], {})
    assert given.endswith("s")
    assert float(given[:-1]) >= getattr(stop, "delay_s", 0) + stop.grace_s + 3


@BY_NAME
def test_only_what_people_ask_is_published_and_on_loopback_unless_told(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert bool(ports) is (name in PUBLISHED)
    assert all(filled(port, {}).startswith("127.0.0.1:") for port in ports)
    assert all(port.startswith("${PUBLISH_ON:-127.0.0.1}:") for port in ports)
    assert "network_mode" not in SERVICES[name]


def test_servers_hang_on_a_network_without_a_way_out() -> None:
    assert compose()["networks"]["back"]["internal"] is True
    for name in ("kafka", "clickhouse", "valkey", "processor"):
        assert SERVICES[name]["networks"] == ["back"]


def test_services_wait_for_healthy_servers_and_for_the_tables() -> None:
    for name in ("ingest", "processor", "query"):
        waits = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
        assert waits.pop("init") == "service_completed_successfully"
        assert {"kafka", "clickhouse"} <= set(waits)
        assert set(waits.values()) == {"service_healthy"}
        assert all("healthcheck" in SERVICES[other] for other in waits)


@pytest.mark.parametrize("name", ["ingest", "processor", "query"])
def test_what_serves_is_healthy_when_it_is_ready(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"] == ["CMD", *HEALTH_CHECK, "ready"]
    assert all(word in check for word in ("interval", "timeout", "retries", "start_period"))


def test_no_secret_has_a_default() -> None:
    secret = [
        found
        for found in variables()
        if found["name"].endswith(("PASSWORD", "PEPPER", "SECRET", "TOKEN"))
    ]
    assert secret
    assert {found["kind"] for found in secret} == {"?"}
    assert all("make env" in found["word"] for found in secret)


def test_no_secret_stands_in_the_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith(("PASSWORD", "PEPPER", "STORE_URL")):
                assert "${" in value, f"{variable} of {name}"
    assert "VALKEY_PASSWORD}" not in " ".join(SERVICES["valkey"]["command"])


def test_make_env_writes_what_compose_refuses_to_miss() -> None:
    needed = {found["name"] for found in variables() if found["kind"] == "?"}
    assert set(_written()) == needed


def test_make_env_makes_other_secrets_each_time_in_a_file_of_the_owner_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / ".env"
    old_mask = os.umask(0)
    try:
        environment.write(file)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not set(_written().values()) & set(_written().values())
    assert min(len(value) for value in _written().values()) >= 32


def test_make_env_leaves_a_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("KEPT=1\n")
    with pytest.raises(FileExistsError):
        environment.write(file)
    assert file.read_text() == "KEPT=1\n"


@pytest.mark.parametrize("name", OURS)
def test_each_setting_is_known_and_none_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = _written()
    given = {
        variable: filled(str(value), values)
        for variable, value in SERVICES[name]["environment"].items()
        if variable.startswith("RAGTIME_")
    }
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    loaded = [settings() for settings in OURS[name]]
    for variable in given:
        assert any(_has(settings, variable) for settings in loaded), variable


def test_the_ports_are_those_that_the_services_listen_on() -> None:
    for name in ("ingest", "query"):
        inside = SERVICES[name]["environment"]["RAGTIME_HTTP__PORT"]
        assert SERVICES[name]["ports"][0].endswith(f":{inside}")


def test_images_are_pinned_and_follow_the_release() -> None:
    release = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    images = {name: filled(service["image"], {}) for name, service in SERVICES.items()}
    assert images["kafka"] == f"apache/kafka:{kafka.VERSION}"
    # Its Go module of 3.16.0 is v0.316.0: what promtool checked is what runs.
    module = PROMTOOL.partition("@v0.")[2]
    assert images["prometheus"] == f"prom/prometheus:v{module[0]}.{module[1:]}"
    assert images["alertmanager"] == f"prom/alertmanager:{AMTOOL.partition('@')[2]}"
    assert images["query"] == f"ragtime-analytics/query:{release}"
    for name, image in images.items():
        assert image.partition(":")[2] not in {"", "latest"}, name


def _written() -> dict[str, str]:
    pairs = (line.partition("=") for line in environment.text().splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


def _has(settings: BaseSettings, variable: str) -> bool:
    place: Any = settings
    for part in variable.removeprefix("RAGTIME_").lower().split("__"):
        if part not in type(place).model_fields:
            return False
        place = getattr(place, part)
    return True
