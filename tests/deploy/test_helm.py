"""The chart: what it renders is what Kubernetes takes, what the services read, and no secret."""

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.settings import CHART, SET_BY_CHART, all_settings, chart_schema
from libs.settings import ServiceSettings
from services.admin.settings import DoctorSettings, InitSettings, MigrateSettings
from services.ingest.settings import Settings as IngestSettings
from services.processor.settings import Settings as ProcessorSettings
from services.query.settings import Settings as QuerySettings
from tests.deploy.chart import (
    SECRET,
    SETS,
    RefusedError,
    containers,
    environment,
    file_for,
    given,
    manifests,
    notes,
    of_kind,
    packaged,
    pods,
    process_of,
    render,
    values_file,
    with_values,
    write_files,
)
from tests.deploy.tools import HELM, KUBECONFORM, KUBERNETES, PROMTOOL, go_tool, write_schemas
from tests.promql import RULES, RUNBOOKS

pytestmark = pytest.mark.deploy

Json = dict[str, Any]

SERVICES = ("ingest", "processor", "query")
_TEXTS = re.compile(r'"[^"]*"')
SETTINGS: dict[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "processor": ProcessorSettings,
    "query": QuerySettings,
    "tables": MigrateSettings,
    "init": InitSettings,
    "admin": DoctorSettings,
    "test": DoctorSettings,
}


def _token(**values: str) -> Json:
    """Kafka by a token, and more values of Kafka's."""
    kafka = {"securityProtocol": "SASL_SSL", "saslMechanism": "OAUTHBEARER", **values}
    return {f"kafka.{name}": value for name, value in kafka.items()}


REFUSED: dict[str, tuple[Json, str]] = {
    "no brokers": ({"kafka.bootstrapServers": ""}, "name some brokers as host:port"),
    "broker without port": ({"kafka.bootstrapServers": "kafka"}, "written as host:port"),
    "brokers with a space": ({"kafka.bootstrapServers": "a:1, b:1"}, "no spaces between them"),
    "user without a Secret": (
        {"kafka.securityProtocol": "SASL_SSL"},
        "SASL_SSL needs the Secret that holds a user and his password",
    ),
    "user in the open": ({"kafka.existingSecret": "a"}, "users are for SASL_SSL"),
    "certificates in the open": (
        {"kafka.certificates.existingSecret": "a"},
        "they are for SSL and SASL_SSL",
    ),
    "certificate without a key": (
        {"kafka.certificates.certificateKey": "tls.crt"},
        "of no use without its key",
    ),
    "token from nowhere": (_token(), "kafka.tokenFile or kafka.tokenCommand, one of both"),
    "token from two places": (
        _token(tokenFile="/t", tokenCommand="t"),
        "kafka.tokenFile or kafka.tokenCommand, one of both",
    ),
    "token and user": (
        _token(tokenFile="/t", existingSecret="a"),
        "a token is shown instead, from kafka.tokenFile or kafka.tokenCommand",
    ),
    "token in the open": (
        {"kafka.tokenFile": "/t"},
        "are for kafka.saslMechanism OAUTHBEARER, with SASL_SSL or SASL_PLAINTEXT",
    ),
    "lag by token": (
        _token(tokenFile="/t") | {"processor.autoscaling.enabled": True},
        "set processor.replicas instead",
    ),
    "certificate of ours in a ConfigMap": (
        {
            "clickhouse.url": "https://c",
            "clickhouse.certificates": {
                "existingConfigMap": "a",
                "certificateKey": "b",
                "keyKey": "c",
            },
        },
        "clickhouse.certificates.existingSecret is missing",
    ),
    "certificates without keys": (
        {"rateLimits.certificates": {"existingSecret": "a", "caKey": ""}},
        "rateLimits.certificates names no key",
    ),
    "authority without a key": (
        {
            "traces.certificates": {
                "existingConfigMap": "a",
                "existingSecret": "b",
                "caKey": "",
                "certificateKey": "c",
                "keyKey": "d",
            }
        },
        "its key is missing, as traces.certificates.caKey",
    ),
    "authority of ClickHouse in the open": (
        {"clickhouse.certificates.existingConfigMap": "a"},
        "they are for a URL that begins with https://",
    ),
    "authority of no store": (
        {"rateLimits.certificates.existingConfigMap": "a"},
        "there is no store: name the Secret with its URL as rateLimits.existingSecret",
    ),
    "authority of no collector": (
        {
            "traces.certificates.existingConfigMap": "a",
            "query.settings.RAGTIME_TRACES__ENDPOINT": "http://c:4318/v1/traces",
        },
        "no service sends traces by TLS",
    ),
    "no ClickHouse": ({"clickhouse.url": ""}, "say where ClickHouse answers HTTP"),
    "native protocol": ({"clickhouse.url": "tcp://c:9000"}, "http://host:port"),
    "password in a URL": ({"clickhouse.url": "http://u:p@c:8123"}, "holds a user or a password"),
    "push by nobody": (
        {"admin.doctor.pushgateway": "http://p:9091"},
        "say when the doctor runs, as admin.doctor.schedule",
    ),
    "password in a push": (
        {"admin.doctor": {"schedule": "@hourly", "pushgateway": "http://u:p@p:9091"}},
        "admin.doctor.pushgateway holds a user or a password",
    ),
    "push to no address": (
        {"admin.doctor": {"schedule": "@hourly", "pushgateway": "p:9091"}},
        "at '/admin/doctor/pushgateway'",
    ),
    "no passwords": ({"clickhouse.existingSecret": ""}, "name the Secret that holds the password"),
    "no pepper": ({"access.existingSecret": ""}, "name the Secret that holds the pepper"),
    "more processors than partitions": (
        {"processor.replicas": 13},
        "may have 13 replicas, but kafka.partitions is 12",
    ),
    "more processors than partitions, by lag": (
        {"processor.autoscaling.enabled": True, "processor.autoscaling.maxReplicas": 13},
        "may have 13 replicas, but kafka.partitions is 12",
    ),
    "no processor": (
        {"processor.autoscaling.minReplicas": 0},
        "at '/processor/autoscaling/minReplicas': minimum: got 0, want 1",
    ),
    "least above most": ({"query.autoscaling.minReplicas": 9}, "must not be more than the most"),
    "share of nothing": ({"query.resources": None}, "query.resources.requests.cpu"),
    "host missing": ({"ingest.ingress.enabled": True}, "ingest.ingress.host is missing"),
    "one host, unnamed": ({"ingress.enabled": True}, "ingress.host is missing"),
    "one host twice": (
        {
            "ingress": {"enabled": True, "host": "a.example"},
            "query.ingress": {"enabled": True, "host": "a.example"},
        },
        "query.ingress.host is that of `ingress`",
    ),
    "route without a gateway": (
        {"httpRoute": {"enabled": True, "host": "a.example"}},
        "the Gateway that it hangs on: httpRoute.parentRefs",
    ),
    "Prometheus from nowhere": ({"serviceMonitor.enabled": True}, "names where Prometheus runs"),
    "alerts on what nobody reads": (
        {"monitoring.rules.enabled": True},
        "names where Prometheus runs",
    ),
    "unknown value": ({"replicas": 3}, "additional properties 'replicas' not allowed"),
    "unknown value of a part": (
        {"query.replica": 3},
        "additional properties 'replica' not allowed",
    ),
    "unknown setting": (
        {"ingest.settings.RAGTIME_BODY__MAX": 3},
        "additional properties 'RAGTIME_BODY__MAX' not allowed",
    ),
    "setting of another service": (
        {"ingest.settings.RAGTIME_QUERY__MAX_DAYS": 3},
        "additional properties 'RAGTIME_QUERY__MAX_DAYS' not allowed",
    ),
    "setting out of range": (
        {"ingest.settings.RAGTIME_BODY__MAX_EVENTS": 0},
        "at '/ingest/settings/RAGTIME_BODY__MAX_EVENTS': minimum: got 0, want 1",
    ),
    "secret as a value": (
        {"query.settings.RAGTIME_ACCESS__PEPPER": SECRET},
        "additional properties 'RAGTIME_ACCESS__PEPPER' not allowed",
    ),
    "setting past the schema": (
        {"query.extraEnv": [{"name": "RAGTIME_ACCESS__PEPPER", "value": SECRET}]},
        "at '/query/extraEnv/0/name'",
    ),
    "number as text": ({"query.replicas": "3"}, "at '/query/replicas': got string, want integer"),
    "no port": ({"rateLimits.port": 0}, "at '/rateLimits/port': minimum: got 0, want 1"),
    "name that is none": ({"access.existingSecret": "A B"}, "at '/access/existingSecret'"),
}


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where kubeconform finds the schema of each kind."""
    return write_schemas(tmp_path_factory.mktemp("schemas"))


@pytest.fixture(params=SETS)
def rendered(request: pytest.FixtureRequest) -> list[Json]:
    """The objects of each value set in turn."""
    return manifests(render(*values_file(request.param)))


def complaints(text: str, kubernetes: str, schemas: str, folder: Path) -> str:
    """What is wrong with manifests; nothing if Kubernetes takes them."""
    file = folder / "manifests.yaml"
    file.write_text(text, "utf-8")
    options = ["-strict", "-kubernetes-version", kubernetes, "-schema-location", schemas]
    done = subprocess.run(
        [str(go_tool(KUBECONFORM)), *options, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("values", SETS)
def test_chart_is_content_with_itself_when_linted(values: str) -> None:
    command = [str(go_tool(HELM)), "lint", "--strict", str(CHART), *values_file(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("values", SETS)
def test_manifests_are_valid_when_values_are(
    values: str, kubernetes: str, schemas: str, tmp_path: Path
) -> None:
    text = render(*values_file(values), kubernetes=kubernetes)

    assert complaints(text, kubernetes, schemas, tmp_path) == ""
    assert len(manifests(text)) > 8


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("replicas: 5", "replicas: many"),
        ("serviceName:", "servicename:"),
        ("lagThreshold", "lag_threshold: {}\n        lagThreshold"),
        ("jobLabel", "jobLable"),
        ("- alert: RagtimeBug", "- alret: RagtimeBug"),
    ],
)
def test_manifests_are_refused_when_a_field_is_wrong(
    right: str, wrong: str, schemas: str, tmp_path: Path
) -> None:
    values = "fixed" if "replicas" in right else "everything"
    text = render(*values_file(values))
    assert right in text

    assert complaints(text.replace(right, wrong), KUBERNETES[-1], schemas, tmp_path) != ""


@pytest.mark.parametrize("case", REFUSED)
def test_values_are_refused_with_a_sentence_when_they_are_wrong(case: str) -> None:
    values, sentence = REFUSED[case]

    with pytest.raises(RefusedError) as refused:
        render(*with_values(values))

    assert sentence in str(refused.value)


def test_cluster_is_refused_when_it_is_too_old() -> None:
    with pytest.raises(RefusedError, match="requires kubeVersion"):
        render(*values_file("required"), kubernetes="1.26.0")


def test_every_service_has_its_objects_when_rendered(rendered: list[Json]) -> None:
    assert set(of_kind(rendered, "Deployment")) == {"ingest", "query"}
    assert set(of_kind(rendered, "StatefulSet")) == {"processor"}
    assert set(of_kind(rendered, "Service")) == set(SERVICES)


def test_every_service_is_guarded_when_nothing_is_said() -> None:
    objects = manifests(render(*values_file("required")))

    for kind in ("PodDisruptionBudget", "ServiceAccount"):
        assert set(of_kind(objects, kind)) == set(SERVICES)
    assert set(of_kind(objects, "NetworkPolicy")) == {*SERVICES, "admin", "init", "test"}
    spread = [pod["topologySpreadConstraints"] for part, pod in pods(objects) if part in SERVICES]
    assert [len(one) for one in spread] == [2, 2, 2]


def test_numbers_of_pods_are_left_to_autoscalers_when_they_are_on() -> None:
    objects = manifests(render(*values_file("everything")))
    deployments, scaled = of_kind(objects, "Deployment"), of_kind(objects, "ScaledObject")
    statefulset = of_kind(objects, "StatefulSet")["processor"]

    assert set(of_kind(objects, "HorizontalPodAutoscaler")) == {"ingest", "query"}
    assert not [one for one in (*deployments.values(), statefulset) if "replicas" in one["spec"]]
    for part, scaler in of_kind(objects, "HorizontalPodAutoscaler").items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployments[part]["metadata"]["name"]
        (metric,) = scaler["spec"]["metrics"]
        assert metric["resource"]["name"] == "cpu"
    target = scaled["processor"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", statefulset["metadata"]["name"])


def test_numbers_of_pods_are_fixed_when_autoscalers_are_off() -> None:
    objects = manifests(render(*values_file("fixed")))
    kinds = {one["kind"] for one in objects}

    assert kinds & {"HorizontalPodAutoscaler", "ScaledObject"} == set()
    numbers = {
        part: one["spec"]["replicas"]
        for kind in ("Deployment", "StatefulSet")
        for part, one in of_kind(objects, kind).items()
    }
    assert numbers == {"ingest": 5, "processor": 48, "query": 3}


def test_lag_is_that_of_the_processors_group_when_keda_asks() -> None:
    objects = manifests(render(*values_file("everything")))
    spec = of_kind(objects, "ScaledObject")["processor"]["spec"]
    (trigger,) = spec["triggers"]
    (pod,) = (pod for part, pod in pods(objects) if part == "processor")
    told = given(pod["containers"][0])

    assert trigger["metadata"] | {"lagThreshold": "10000"} == {
        "bootstrapServers": told["RAGTIME_KAFKA__BOOTSTRAP_SERVERS"],
        "consumerGroup": told["RAGTIME_GROUP__NAME"],
        "topic": told["RAGTIME_KAFKA__EVENTS_TOPIC"],
        "lagThreshold": "10000",
        "offsetResetPolicy": "earliest",
        "allowIdleConsumers": "false",
        "sasl": "scram_sha256",
        "tls": "enable",
    }
    reader = of_kind(objects, "TriggerAuthentication")["processor"]
    assert trigger["authenticationRef"]["name"] == reader["metadata"]["name"]
    references = reader["spec"]["secretTargetRef"] + reader["spec"]["configMapTargetRef"]
    shown = {one["parameter"] for one in references}
    assert shown == {"username", "password", "ca", "cert", "key"}
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] <= 24
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 600
    assert [policy["value"] for policy in down["policies"]] == [1]


def test_group_is_that_of_the_settings_when_values_name_none() -> None:
    text = render(*with_values({"processor.autoscaling.enabled": True}))
    (trigger,) = of_kind(manifests(text), "ScaledObject")["processor"]["spec"]["triggers"]

    default = ProcessorSettings.model_fields["group"].default.name
    assert trigger["metadata"]["consumerGroup"] == default


def test_pods_are_restricted_when_rendered(rendered: list[Json]) -> None:
    for part, pod in pods(rendered):
        assert pod["automountServiceAccountToken"] is False, part
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert "tmp" in {one["name"] for one in container["volumeMounts"]}


def test_services_are_asked_where_they_answer_when_probed(rendered: list[Json]) -> None:
    for part, pod in pods(rendered):
        if part not in SERVICES:
            continue
        (service,) = pod["containers"]
        settings: Any = SETTINGS[part].model_fields["http"].default
        metrics = int(given(service)["RAGTIME_HTTP__METRICS_PORT"])
        assert service["ports"] == [
            {"name": "http", "containerPort": settings.port},
            {"name": "metrics", "containerPort": metrics},
        ]
        for probe, path in (("liveness", "live"), ("readiness", "ready"), ("startup", "live")):
            assert service[f"{probe}Probe"]["httpGet"] == {
                "path": f"/healthz/{path}",
                "port": "http",
            }


def test_time_to_stop_holds_the_drain_when_rendered(rendered: list[Json]) -> None:
    for part, pod in pods(rendered):
        if part not in SERVICES:
            continue
        (service,) = pod["containers"]
        told = given(service)
        delay_s = float(told.get("RAGTIME_STOP__DELAY_S", 0))
        settings: Any = SETTINGS[part].model_fields["stop"].default
        grace_s = float(told.get("RAGTIME_STOP__GRACE_S", settings.grace_s))
        assert pod["terminationGracePeriodSeconds"] >= delay_s + grace_s + 3


def test_no_secret_is_rendered_when_all_is_on(rendered: list[Json]) -> None:
    secrets = {one.variable for one in all_settings() if one.is_secret}

    assert not [one for one in rendered if one["kind"] == "Secret"]
    for _, pod in pods(rendered):
        for container in containers(pod):
            for name in secrets & environment(container).keys():
                reference = environment(container)[name]
                assert reference.keys() == {"name", "valueFrom"}
                assert reference["valueFrom"]["secretKeyRef"]["name"]


def test_pod_holds_the_password_of_its_own_user_alone_when_rendered(rendered: list[Json]) -> None:
    for part, pod in pods(rendered):
        users = {given(one)["RAGTIME_CLICKHOUSE__USER"] for one in containers(pod)}
        role = "admin" if part in {"init", "test"} else part
        assert [user.removeprefix("rt_") for user in users] == [role]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files in place of those that a Secret would be mounted as."""
    return write_files(tmp_path_factory.mktemp("files"))


def test_settings_are_taken_by_the_process_when_it_starts(
    rendered: list[Json], files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _, pod in pods(rendered):
        for container in containers(pod):
            with monkeypatch.context() as patched:
                for name, value in given(container).items():
                    is_file = name.startswith("RAGTIME_") and name.endswith("_FILE")
                    patched.setenv(name, file_for(name, files) if is_file else value)
                settings: Any = SETTINGS[container["name"]]()
            assert settings.clickhouse.url.startswith("http")


def test_variables_are_those_of_the_process_when_rendered(rendered: list[Json]) -> None:
    for _, pod in pods(rendered):
        for container in containers(pod):
            read = [one for one in all_settings() if one.process == process_of(container)]
            known = {one.variable for one in read}
            known |= {f"{one.variable}_FILE" for one in read if one.is_secret}
            ours = {name for name in environment(container) if name.startswith("RAGTIME_")}
            assert ours <= known, container["name"]


@pytest.mark.parametrize("part", SERVICES)
def test_every_setting_has_a_place_in_the_chart_when_the_service_has_it(part: str) -> None:
    found: set[str] = set()
    for values in SETS:
        (pod,) = (
            pod for name, pod in pods(manifests(render(*values_file(values)))) if name == part
        )
        found |= environment(pod["containers"][0]).keys()
    settings = chart_schema()["definitions"][f"{part}Settings"]["properties"].keys()
    known = {one.variable for one in all_settings() if one.process == part}

    # The container's port needs no other number.
    assert found | settings | {"RAGTIME_HTTP__PORT"} >= known
    assert settings & SET_BY_CHART == set()


def test_numbers_arrive_in_full_when_they_are_large() -> None:
    objects = manifests(render(*values_file("everything")))
    told = {part: given(pod["containers"][0]) for part, pod in pods(objects)}

    assert told["query"]["RAGTIME_QUERY__MAX_ROWS_READ"] == "1000000000"
    assert told["ingest"]["RAGTIME_PUBLISH__LINGER_MS"] == "2.5"
    assert told["ingest"]["RAGTIME_TRUSTED_PROXIES"] == '["10.0.0.0/8","fd00::/8"]'


def test_doctor_is_told_what_the_services_are_when_it_is_called() -> None:
    objects = manifests(render(*values_file("everything")))
    found = {part: pod["containers"][0] for part, pod in pods(objects)}
    told = given(found["admin"])

    assert told["RAGTIME_GROUP__NAME"] == given(found["processor"])["RAGTIME_GROUP__NAME"]
    assert told["RAGTIME_DOCTOR__REPLICAS"] == "6"
    assert "RAGTIME_RATE_LIMIT__STORE_URL" in told
    password = "RAGTIME_CLICKHOUSE__PASSWORD"
    for part in SERVICES:
        own = environment(found[part])[password]["valueFrom"]
        seen = environment(found["admin"])[f"RAGTIME_DOCTOR__{part.upper()}_PASSWORD"]["valueFrom"]
        assert seen == own


def test_tables_are_made_first_when_installed() -> None:
    objects = manifests(render(*values_file("everything")))
    job, policy = of_kind(objects, "Job")["init"], of_kind(objects, "NetworkPolicy")["init"]

    assert job["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "init"
    hooks = [one["metadata"]["annotations"]["helm.sh/hook"] for one in (job, policy)]
    assert hooks == ["pre-install,pre-upgrade"] * 2
    weights = [int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in (policy, job)]
    assert weights == sorted(weights), "the policy lets the job out, so it comes first"


def test_service_waits_for_its_tables_when_it_starts(rendered: list[Json]) -> None:
    for part, pod in pods(rendered):
        if part in SERVICES:
            (gate,) = pod["initContainers"]
            assert gate["command"][3:] == ["migrate", "--check", "--wait", "600"]


def test_selectors_find_their_pods_when_rendered(rendered: list[Json]) -> None:
    templates = {
        part: one["spec"]["template"]["metadata"]["labels"]
        for kind in ("Deployment", "StatefulSet")
        for part, one in of_kind(rendered, kind).items()
    }
    for part, labels in templates.items():
        for kind in (
            "Service",
            "PodDisruptionBudget",
            "NetworkPolicy",
            "Deployment",
            "StatefulSet",
        ):
            if one := of_kind(rendered, kind).get(part):
                selector = one["spec"].get("selector") or one["spec"]["podSelector"]
                wanted = selector.get("matchLabels", selector)
                assert wanted.items() <= labels.items(), (part, kind)


def test_pods_reach_the_servers_they_need_when_policies_are_on() -> None:
    policies = of_kind(manifests(render(*values_file("tls"))), "NetworkPolicy")

    def ports(part: str) -> set[int | str]:
        return {port["port"] for rule in policies[part]["spec"]["egress"] for port in rule["ports"]}

    dns, clickhouse, kafka, store = {53, 5353}, 8443, 9092, 6380
    assert ports("ingest") == {*dns, clickhouse, kafka, store}
    assert ports("processor") == ports("init") == {*dns, clickhouse, kafka}
    assert ports("query") == {*dns, clickhouse, store}
    assert ports("test") == ports("admin") == {*dns, clickhouse, kafka, store, "http"}
    (asks,) = policies["processor"]["spec"]["ingress"]
    assert len(asks["from"]) == 2, "the doctor and `helm test`, nobody else"


def test_metrics_are_for_prometheus_alone_when_the_api_is_open() -> None:
    objects = manifests(render(*values_file("everything")))
    policies = of_kind(objects, "NetworkPolicy")
    prometheus = {"kubernetes.io/metadata.name": "monitoring"}

    for part in SERVICES:
        (rule,) = (
            rule
            for rule in policies[part]["spec"]["ingress"]
            if rule["ports"][0]["port"] == "metrics"
        )
        assert rule["from"] == [{"namespaceSelector": {"matchLabels": prometheus}}]
    for part in ("ingest", "query"):
        (port,) = of_kind(objects, "Service")[part]["spec"]["ports"]
        assert port["name"] == "http"
    watched = [
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in objects
        if one["kind"] == "Service" and "metrics" in {port["name"] for port in one["spec"]["ports"]}
    ]
    assert sorted(watched) == sorted(SERVICES)


def test_job_is_found_by_the_alert_rules_when_prometheus_watches() -> None:
    objects = manifests(render(*values_file("everything")))
    (monitor,) = (one for one in objects if one["kind"] == "ServiceMonitor")
    labels = of_kind(objects, "Service")["processor"]["metadata"]["labels"]

    assert "ragtime" in labels[monitor["spec"]["jobLabel"]], "the rules say job=~'.*ragtime.*'"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] == "metrics"
    assert endpoint["honorLabels"], "else `service` is the name of the Kubernetes Service"
    assert set(monitor["spec"]["targetLabels"]) <= labels.keys()


def test_alert_rules_are_those_of_the_checkout_for_this_release_when_they_are_on(
    tmp_path: Path,
) -> None:
    release = 'namespace="default",app_kubernetes_io_instance="release"'

    for chart in (CHART, packaged(tmp_path)):
        written = yaml.safe_load(RULES.read_text("utf-8"))
        objects = manifests(render(*values_file("everything"), chart=chart))
        (made,) = (one for one in objects if one["kind"] == "PrometheusRule")
        assert made["metadata"]["labels"]["release"] == "prometheus"
        for group, group_written in zip(made["spec"]["groups"], written["groups"], strict=True):
            for rule, as_written in zip(group["rules"], group_written["rules"], strict=True):
                own = {"namespace": "default", "release": "release"}
                assert rule.pop("labels") == as_written.pop("labels") | own
                selected = re.sub(r"\[[^\]]*\]", "", rule["expr"]).count(release)
                assert selected == len(series_in(as_written["expr"])), rule["expr"]
                rule["expr"] = rule["expr"].replace(release + ",", "").replace(f"{{{release}}}", "")
                link = as_written["annotations"]["runbook_url"]
                assert rule["annotations"].pop("runbook_url") == link.replace(
                    RUNBOOKS, "https://wiki.example/ragtime"
                )
                del as_written["annotations"]["runbook_url"]
        assert made["spec"] == written


def series_in(expression: str) -> list[str]:
    """Each series that an expression asks for, as often as it does."""
    return re.findall(r"\b(?:up|ragtime_[a-z_]+|process_[a-z]+_fds)\b", _TEXTS.sub("", expression))


def test_alert_rules_of_a_release_are_valid(tmp_path: Path) -> None:
    objects = manifests(render(*values_file("everything")))
    (made,) = (one for one in objects if one["kind"] == "PrometheusRule")
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(made["spec"]), "utf-8")
    done = subprocess.run(
        [go_tool(PROMTOOL), "check", "rules", "--lint-fatal", "--lint=all", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_doctor_asks_all_pods_and_may_when_it_runs_by_the_clock() -> None:
    objects = manifests(render(*values_file("everything")))
    jobs = {one["metadata"]["name"]: one for one in objects if one["kind"] == "CronJob"}
    (name,) = (name for name in jobs if name.endswith("-doctor"))
    pod = jobs[name]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    told = environment(pod["containers"][0])["RAGTIME_DOCTOR__SERVICES"]["value"].split(",")
    hosts = {urlsplit(one).hostname: urlsplit(one).port for one in told}
    headless = {
        one["metadata"]["name"]
        for one in objects
        if one["kind"] == "Service" and one["spec"].get("clusterIP") == "None"
    }
    assert set(hosts) == headless
    assert jobs[name]["spec"]["schedule"] == "17 * * * *"
    policies = of_kind(objects, "NetworkPolicy")
    for part in SERVICES:
        (rule,) = (
            one for one in policies[part]["spec"]["ingress"] if one["ports"][0]["port"] == "http"
        )
        allowed = [one["podSelector"]["matchLabels"] for one in rule.get("from", ())[-2:]]
        names = [one["app.kubernetes.io/component"] for one in allowed]
        assert names == ["admin", "test"] if "from" in rule else part != "processor"
    to_pods = [
        one for one in policies["admin"]["spec"]["egress"] if one["ports"][0]["port"] == "http"
    ]
    assert len(to_pods) == len(SERVICES)


def command_of_doctor(objects: list[Json]) -> list[str]:
    """What the doctor's job runs behind `ragtime`."""
    (job,) = (
        one["spec"]["jobTemplate"]["spec"]
        for one in objects
        if one["kind"] == "CronJob" and one["metadata"]["name"].endswith("-doctor")
    )
    command: list[str] = job["template"]["spec"]["containers"][0]["command"]
    assert command[:3] == ["python", "-m", "services.admin"]
    return command[3:]


def test_job_of_the_doctor_passes_with_warnings_which_default_values_give() -> None:
    text = render(*with_values({"admin.doctor.schedule": "@hourly"}))

    assert command_of_doctor(manifests(text)) == ["doctor", "--warnings-pass"]


def test_job_of_the_doctor_pushes_with_the_labels_that_its_rules_ask_for() -> None:
    objects = manifests(render(*values_file("everything")))
    words = command_of_doctor(objects)
    pushed = dict(one.split("=") for at, one in enumerate(words) if words[at - 1] == "--label")
    (made,) = (one for one in objects if one["kind"] == "PrometheusRule")
    (rules,) = (one["rules"] for one in made["spec"]["groups"] if one["name"] == "ragtime-doctor")

    assert words[:4] == [
        "doctor",
        "--warnings-pass",
        "--push",
        "http://pushgateway.monitoring:9091",
    ]
    assert pushed == {"namespace": "default", "app_kubernetes_io_instance": "release"}
    for rule in rules:
        asked = re.findall(r'(\w+)="([^"]*)"', rule["expr"])
        assert dict(asked) == pushed, rule["alert"]


def test_rules_on_the_doctor_are_left_out_when_nothing_is_pushed() -> None:
    values = {
        "admin.doctor.schedule": "@hourly",
        "monitoring.rules.enabled": True,
        "serviceMonitor.enabled": True,
        "networkPolicy.metricsFrom": [{"podSelector": {}}],
    }
    (made,) = (
        one for one in manifests(render(*with_values(values))) if one["kind"] == "PrometheusRule"
    )
    written = yaml.safe_load(RULES.read_text("utf-8"))["groups"]

    names = [one["name"] for one in written if one["name"] != "ragtime-doctor"]
    assert [one["name"] for one in made["spec"]["groups"]] == names
    assert len(names) == len(written) - 1


@pytest.mark.parametrize(
    ("url", "port"),
    [("http://p:9091", 9091), ("http://p/prefix", 80), ("https://p", 443)],
)
def test_doctor_alone_reaches_the_pushgateway_when_policies_are_on(url: str, port: int) -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    values = {
        "admin.doctor": {"schedule": "@hourly", "pushgateway": url},
        "networkPolicy.pushgatewayTo": peers,
    }
    policies = of_kind(manifests(render(*with_values(values))), "NetworkPolicy")

    to_it = {"ports": [{"protocol": "TCP", "port": port}], "to": peers}
    reach = {part for part, one in policies.items() if to_it in one["spec"]["egress"]}
    assert reach == {"admin"}


def test_cluster_needs_no_operator_when_nothing_is_said() -> None:
    kinds = {one["apiVersion"] for one in manifests(render(*values_file("required")))}
    assert not [one for one in kinds if "coreos" in one or "keda" in one]


def test_only_the_api_is_shown_when_an_ingress_is_on() -> None:
    ingresses = of_kind(manifests(render(*values_file("everything"))), "Ingress")

    assert set(ingresses) == {"ingest", "query"}
    for one in ingresses.values():
        (rule,) = one["spec"]["rules"]
        paths = {(path["path"], path["pathType"]) for path in rule["http"]["paths"]}
        assert paths == {("/api", "Prefix"), ("/openapi.json", "Exact")}


def test_processor_has_a_name_that_stays_when_it_is_one_of_several(rendered: list[Json]) -> None:
    (pod,) = (pod for part, pod in pods(rendered) if part == "processor")
    name = environment(pod["containers"][0])["RAGTIME_GROUP__INSTANCE"]

    assert name["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_notes_lead_to_the_first_answer_when_installed(tmp_path: Path) -> None:
    objects = manifests(render(*values_file("everything")))
    text = notes(tmp_path, *values_file("everything"))

    names = [one["metadata"]["name"] for one in objects if one["kind"] == "CronJob"]
    (cronjob,) = (name for name in names if not name.endswith("-doctor"))
    service = of_kind(objects, "Service")["query"]
    (port,) = service["spec"]["ports"]
    assert f"--from=cronjob/{cronjob}" in text
    assert f"port-forward service/{service['metadata']['name']} 8080:{port['port']}" in text
    assert "curl " in text
    assert "query.settings.RAGTIME_TRUSTED_PROXIES is not set" in text
    assert "ingest.settings.RAGTIME_TRUSTED_PROXIES" not in text, "it is set there"
