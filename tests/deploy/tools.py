"""Go's tools, built once a machine, and the schemas that the chart's manifests are held against.

Kubernetes' schemas come with the package kubernetes-validate; those of KEDA's, the Prometheus
operator's and the Gateway API's kinds with their Go modules.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from deploy.local.layout import layout
from deploy.local.locking import locked

HELM = "helm.sh/helm/v3/cmd/helm@v3.21.4"
PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
PROMETHEUS = PROMTOOL.replace("promtool", "prometheus")
# Without the clouds whose machines it could look for: the build takes a fraction.
PROMETHEUS_OPTION = "-tags=remove_all_sd,enable_dns_sd"
AMTOOL = "github.com/prometheus/alertmanager/cmd/amtool@v0.35.0"
CADDY = "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"
# Reads and merges compose files as `docker compose` does, and needs no daemon.
COMPOSE_LOADER = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
KUBECONFORM = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
# The oldest that the chart is for (Chart.yaml), and the newest that is known.
KUBERNETES = ("1.27.0", "1.37.0")

_CRDS = {
    "github.com/kedacore/keda/v2@v2.20.2": [
        f"config/crd/bases/keda.sh_{kinds}.yaml"
        for kinds in ("scaledobjects", "triggerauthentications")
    ],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        f"example/prometheus-operator-crd/monitoring.coreos.com_{kinds}.yaml"
        for kinds in ("servicemonitors", "prometheusrules")
    ],
    "sigs.k8s.io/gateway-api@v1.4.0": [
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    ],
}
_BUILD_S = 900
_ELSEWHERE = "/api/_definitions.json#/$defs/"

Json = dict[str, Any]


def go_tool(package: str, *options: str) -> Path:
    """The program of a Go package; built the first time, which takes minutes."""
    name, version = package.rsplit("/", 1)[1].split("@")
    folder = layout().cache / "go"
    program = folder / f"{name}-{version}"
    with locked(folder / "lock", f"{name} is being built"):
        if not program.exists():
            built = folder / "built"
            run_go("install", *options, package, GOBIN=str(built))
            (built / name).rename(program)
    return program


def alertmanager() -> Path:
    """Alertmanager's program, without its pages: its Go module has the place for them alone."""
    module, version = AMTOOL.replace("/cmd/amtool", "").split("@")
    folder = layout().cache / "go"
    program = folder / f"alertmanager-{version}"
    with locked(folder / "lock", "alertmanager is being built"), TemporaryDirectory() as name:
        if not program.exists():
            source = Path(name) / "source"
            found = json.loads(run_go("mod", "download", "-json", f"{module}@{version}"))["Dir"]
            shutil.copytree(found, source, copy_function=shutil.copyfile)
            for place in (source, *(one for one in source.rglob("*") if one.is_dir())):
                place.chmod(0o755)
            (pages := source / "ui" / "app" / "dist").mkdir(parents=True)
            (pages / "none").touch()
            run_go("-C", str(source), "build", "-o", str(program), "./cmd/alertmanager")
    return program


def run_go(*arguments: str, **variables: str) -> str:
    """What the command `go` prints. Skips where there is none."""
    if shutil.which("go") is None:
        pytest.skip("NOT TESTED: Go is not on the PATH, so there is no tool to test with")
    done = subprocess.run(
        ["go", *arguments],
        env=os.environ | variables,
        cwd=layout().cache,  # in no Go module
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def write_schemas(folder: Path) -> str:
    """Write the schemas of all kinds that the chart renders; kubeconform's name for the place."""
    for version in KUBERNETES:
        _write_kubernetes(folder, version)
    for module, paths in _CRDS.items():
        at = Path(json.loads(run_go("mod", "download", "-json", module))["Dir"])
        for path in paths:
            _write_crd(folder, yaml.safe_load((at / path).read_text("utf-8")))
    return f"{folder}/" + "{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json"


def _write_kubernetes(folder: Path, version: str) -> None:
    package = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    definitions = json.loads((package / "_definitions.json").read_text("utf-8"))["$defs"]
    into = folder / f"v{version}"
    into.mkdir(parents=True)
    for file in package.iterdir():
        schema = json.loads(file.read_text("utf-8"))
        if "x-kubernetes-group-version-kind" in schema:
            (into / file.name).write_text(json.dumps(_whole(schema, definitions)), "utf-8")


def _whole(schema: Json, definitions: Json) -> Json:
    """A schema with all that it refers to, in one file."""
    needed: Json = {}
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = definitions[name]
            waiting += _references(definitions[name])
    own = {word: value for word, value in schema.items() if word != "$id"}
    text = json.dumps(own | {"$defs": needed}).replace(_ELSEWHERE, "#/$defs/")
    whole: Json = json.loads(text)
    return whole


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.split("#/$defs/")[1]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _write_crd(folder: Path, crd: Json) -> None:
    kind = crd["spec"]["names"]["kind"].lower()
    group = crd["spec"]["group"].split(".")[0]
    for version in crd["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        for kubernetes in KUBERNETES:
            file = folder / f"v{kubernetes}" / f"{kind}-{group}-{version['name']}.json"
            file.write_text(json.dumps(_strict(schema)), "utf-8")


def _strict(schema: Any) -> Any:
    """With unknown fields refused, as the API server would drop them in silence."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {word: _strict(value) for word, value in schema.items()}
    is_object = strict.get("type") == "object" and "properties" in strict
    if is_object and not strict.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    if strict.get("x-kubernetes-int-or-string"):
        strict.pop("anyOf", None)
        strict.pop("type", None)
    return strict
