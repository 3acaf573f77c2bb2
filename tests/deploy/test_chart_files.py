"""What the chart takes out of Secrets and ConfigMaps: secrets, tokens, certificates."""

from typing import Any

import pytest

from deploy.settings import all_settings
from tests.deploy.chart import (
    FILES,
    SETS,
    containers,
    environment,
    given,
    manifests,
    mounted,
    of_kind,
    pods,
    process_of,
    render,
    values_file,
    with_values,
)

pytestmark = pytest.mark.deploy

Json = dict[str, Any]

_EVERYWHERE = {"ingest", "processor", "query", "admin", "init", "test"}
# Which parts have a server for a neighbour.
_MEET = {
    "kafka": _EVERYWHERE - {"query"},
    "clickhouse": _EVERYWHERE,
    "store": _EVERYWHERE - {"processor", "init"},
    "traces": {"ingest", "processor", "query"},
}


@pytest.fixture(params=SETS)
def rendered(request: pytest.FixtureRequest) -> list[Json]:
    """The objects of each value set in turn."""
    return manifests(render(*values_file(request.param)))


def test_every_file_that_a_process_is_told_of_is_mounted(rendered: list[Json]) -> None:
    for part, pod in pods(rendered):
        for container in containers(pod):
            told = {value for value in given(container).values() if value.startswith(FILES)}
            assert told == mounted(container, pod).keys() & told, part


def test_every_file_is_there_for_a_process_that_is_told_of_it(rendered: list[Json]) -> None:
    for part, pod in pods(rendered):
        told = {value for one in containers(pod) for value in given(one).values()}
        assert told >= {path for one in containers(pod) for path in mounted(one, pod)}, part


@pytest.mark.parametrize("server", _MEET)
def test_authorities_and_certificates_reach_whoever_meets_the_server(server: str) -> None:
    for part, pod in pods(manifests(render(*values_file("everything")))):
        files = mounted(pod["containers"][0], pod)
        found = {path: what for path, what in files.items() if path.startswith(FILES + server)}
        assert {path.rsplit("/", 1)[1] for path in found} == (
            {"ca.crt", "tls.crt", "tls.key"} if part in _MEET[server] else set()
        ), part


def test_authority_comes_out_of_a_config_map_and_the_key_out_of_a_secret() -> None:
    (pod,) = (
        one for part, one in pods(manifests(render(*values_file("everything")))) if part == "ingest"
    )
    files = mounted(pod["containers"][0], pod)

    assert files[f"{FILES}kafka/ca.crt"] == ["configMap", "company-ca", "ca.crt"]
    assert files[f"{FILES}kafka/tls.key"] == ["secret", "ragtime-kafka-tls", "tls.key"]
    assert files[f"{FILES}clickhouse/ca.crt"] == ["secret", "ragtime-clickhouse-tls", "ca.crt"]


def test_look_at_the_tables_trusts_whom_the_service_trusts() -> None:
    for part, pod in pods(manifests(render(*values_file("everything")))):
        for gate in pod.get("initContainers", []):
            own = {
                name: value
                for name, value in given(pod["containers"][0]).items()
                if "CLICKHOUSE" in name
            }
            seen = {name: value for name, value in given(gate).items() if "CLICKHOUSE" in name}
            assert seen == own, part
            assert f"{FILES}clickhouse/ca.crt" in mounted(gate, pod)
            assert not any("kafka" in path for path in mounted(gate, pod))


def test_secrets_are_files_and_no_variables_when_asked_for() -> None:
    secrets = {one.variable for one in all_settings() if one.is_secret}

    for part, pod in pods(manifests(render(*values_file("openshift")))):
        assert "secretKeyRef" not in str(pod), part
        for container in containers(pod):
            files = {
                name for name in environment(container) if name.removesuffix("_FILE") in secrets
            }
            assert {f"{FILES}secrets/{name.removesuffix('_FILE')}" for name in files} == {
                given(container)[name] for name in files
            }
            assert files


def test_secrets_that_are_files_are_those_that_are_variables_otherwise() -> None:
    def told(*arguments: str) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for part, pod in pods(manifests(render(*arguments))):
            container = pod["containers"][0]
            for path, (_, name, key) in mounted(container, pod).items():
                if path.startswith(f"{FILES}secrets/"):
                    found[part, path.rsplit("/", 1)[1]] = [name, key]
            for name, one in environment(container).items():
                if reference := one.get("valueFrom", {}).get("secretKeyRef"):
                    found[part, name] = [reference["name"], reference["key"]]
        return found

    as_files = told(*values_file("everything"), "--set=secretsAsFiles=true")
    assert as_files == told(*values_file("everything"))
    assert len(as_files) > len(_EVERYWHERE) * 2


def test_each_pod_sees_the_secrets_of_its_own_process_alone_when_they_are_files() -> None:
    for _, pod in pods(manifests(render(*values_file("openshift")))):
        container = pod["containers"][0]
        read = {one.variable for one in all_settings() if one.process == process_of(container)}
        seen = {path.rsplit("/", 1)[1] for path in mounted(container, pod) if "/secrets/" in path}
        assert seen <= read


def test_token_is_told_to_all_that_speak_to_kafka_and_no_user_is() -> None:
    for part, pod in pods(manifests(render(*values_file("openshift")))):
        told = given(pod["containers"][0])
        kafka = {name.removeprefix("RAGTIME_KAFKA__") for name in told if "KAFKA__" in name}
        assert ("TOKEN_FILE" in kafka) == (part != "query")
        assert not kafka & {"USERNAME", "PASSWORD", "PASSWORD_FILE", "TOKEN_COMMAND"}
        places = [one["mountPath"] for one in pod["containers"][0]["volumeMounts"]]
        assert ("/var/run/kafka" in places) == (part != "query")


def test_keda_reads_the_authority_where_the_services_do() -> None:
    values = {
        "kafka.securityProtocol": "SSL",
        "kafka.certificates.existingConfigMap": "company-ca",
        "processor.autoscaling.enabled": True,
    }
    spec = of_kind(manifests(render(*with_values(values))), "TriggerAuthentication")["processor"][
        "spec"
    ]

    assert spec == {
        "configMapTargetRef": [{"parameter": "ca", "name": "company-ca", "key": "ca.crt"}]
    }
