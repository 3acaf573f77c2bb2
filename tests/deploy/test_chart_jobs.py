"""The chart's pods that run `ragtime`: where they run, what limits them, and `helm test`."""

from typing import Any

import pytest

from deploy.settings import CHART
from tests.deploy.chart import (
    containers,
    environment,
    given,
    manifests,
    of_kind,
    pods,
    render,
    values_file,
)

pytestmark = pytest.mark.deploy

Json = dict[str, Any]

SCRIPT = CHART / "files" / "test.py"
_OF_A_POD = ("nodeSelector", "tolerations", "affinity", "priorityClassName")
_JOBS = ("init", "admin", "test")


def _objects(values: str = "everything") -> list[Json]:
    return manifests(render(*values_file(values)))


def _metadata(objects: list[Json], part: str) -> Json:
    """That of a part's pod."""
    kinds = {"init": "Job", "admin": "CronJob", "test": "Pod"}
    one = of_kind(objects, kinds[part])[part]
    spec = one["spec"].get("jobTemplate", one).get("spec", one)
    found: Json = spec.get("template", one)["metadata"]
    return found


@pytest.mark.parametrize("part", _JOBS)
def test_pods_of_the_command_go_where_those_of_the_services_may_go(part: str) -> None:
    found = dict(pods(_objects()))

    for field in _OF_A_POD:
        assert found[part][field] == found["ingest"][field]
    assert found[part]["serviceAccountName"] == "administrator"


@pytest.mark.parametrize("part", _JOBS)
def test_pods_of_the_command_take_more_variables_volumes_and_annotations(part: str) -> None:
    objects = _objects()
    pod = dict(pods(objects))[part]
    (container,) = pod["containers"]

    assert environment(container)["SSL_CERT_FILE"]["value"] == "/ca/ca.pem"
    assert {"name": "ca", "configMap": {"name": "company-ca"}} in pod["volumes"]
    assert {"name": "ca", "mountPath": "/ca", "readOnly": True} in container["volumeMounts"]
    metadata = _metadata(objects, part)
    assert metadata["annotations"]["sidecar.istio.io/inject"] == "false"
    assert metadata["labels"]["team"] == "data"


def test_pods_of_the_command_say_nothing_of_places_when_values_do_not() -> None:
    found = dict(pods(_objects("required")))

    assert not [field for part in _JOBS for field in _OF_A_POD if field in found[part]]


def test_look_at_the_tables_takes_the_variables_and_volumes_of_its_service() -> None:
    pod = dict(pods(_objects()))["ingest"]
    (gate,) = pod["initContainers"]

    assert environment(gate)["SSL_CERT_FILE"]["value"] == "/ca/ca.pem"
    assert {"name": "geoip", "mountPath": "/geoip", "readOnly": True} in gate["volumeMounts"]


def test_every_container_has_a_limit_of_cpu_when_values_say_so() -> None:
    for part, pod in pods(_objects("openshift")):
        for container in containers(pod):
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), part


def test_no_pod_names_an_id_when_the_platform_gives_one() -> None:
    found = dict(pods(_objects("openshift")))

    assert {str(pod["securityContext"].keys()) for pod in found.values()} == {
        str({"runAsNonRoot": 0, "seccompProfile": 0}.keys())
    }


def test_policies_let_dns_out_on_the_port_of_the_platform() -> None:
    policies = of_kind(_objects("openshift"), "NetworkPolicy")

    for part, one in policies.items():
        dns, *_ = one["spec"]["egress"]
        assert [(port["protocol"], port["port"]) for port in dns["ports"]] == [
            ("UDP", 5353),
            ("TCP", 5353),
        ], part


def test_helm_test_is_a_hook_that_may_ask_both_services() -> None:
    objects = _objects()
    test = of_kind(objects, "Pod")["test"]
    labels = test["metadata"]["labels"]
    policies = of_kind(objects, "NetworkPolicy")

    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert policies["test"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    *_, asking = policies["ingest"]["spec"]["ingress"][0]["from"]
    assert asking["podSelector"]["matchLabels"].items() <= labels.items()
    assert "from" not in policies["query"]["spec"]["ingress"][0], "everybody may ask it"
    let_out = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for rule in policies["test"]["spec"]["egress"]
        for peer in rule.get("to", [])
        if "app.kubernetes.io/component" in peer.get("podSelector", {}).get("matchLabels", {})
    ]
    assert let_out == ["ingest", "processor", "query"], "the doctor asks all"


def test_helm_test_asks_the_services_where_they_are() -> None:
    objects = _objects()
    (container,) = of_kind(objects, "Pod")["test"]["spec"]["containers"]
    services = of_kind(objects, "Service")

    assert container["command"][:3] == ["python", "-c", SCRIPT.read_text("utf-8")]
    assert container["command"][3:] == [
        f"http://{one['metadata']['name']}:{one['spec']['ports'][0]['port']}"
        for one in (services["ingest"], services["query"])
    ]
    admin = dict(pods(objects))["admin"]["containers"][0]
    assert given(container) == given(admin), "the doctor is told the same"
