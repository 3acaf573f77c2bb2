"""The chart as helm renders it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import trustme
import yaml

from deploy.settings import CHART
from tests.deploy.tools import HELM, KUBERNETES, go_tool

Json = dict[str, Any]

VALUES = Path(__file__).parent / "values"
SETS = sorted(path.stem for path in VALUES.glob("*.yaml"))
RELEASE = "release"
# In place of what a Secret would hold: long enough for a pepper, and a URL of a store.
SECRETS = {"RAGTIME_RATE_LIMIT__STORE_URL": "valkeys://u:p@store:6380/0"}
SECRET = "s" * 32
# Where the chart puts files: secrets under their variables' names, others under a server's.
FILES = "/etc/ragtime/"


class RefusedError(Exception):
    """Helm rendered nothing; the text says why."""


@cache
def render(*arguments: str, kubernetes: str = KUBERNETES[-1], chart: Path = CHART) -> str:
    """What `helm template` writes. Raises RefusedError with what helm says."""
    command = [
        str(go_tool(HELM)),
        "template",
        RELEASE,
        str(chart),
        "--kube-version",
        kubernetes,
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def packaged(folder: Path) -> Path:
    """The chart as `helm package` makes it: a file that needs no checkout."""
    command = [str(go_tool(HELM)), "package", str(CHART), "--destination", str(folder)]
    subprocess.run(command, capture_output=True, check=True)
    (file,) = folder.glob("*.tgz")
    return file


def values_file(name: str) -> list[str]:
    """The arguments that take one of the value sets."""
    return ["--values", str(VALUES / f"{name}.yaml")]


def with_values(values: Json) -> list[str]:
    """The arguments that put these over the values that are required."""
    settings = [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
    return [*values_file("required"), *settings]


def manifests(text: str) -> list[Json]:
    """The objects in it."""
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[Json], kind: str) -> dict[str, Json]:
    """The objects of one kind, by the part of the product that they are of."""
    found = [one for one in objects if one["kind"] == kind and not _is_for_metrics(one)]
    labels = "app.kubernetes.io/component"
    return {one["metadata"]["labels"].get(labels, "all"): one for one in found}


def _is_for_metrics(one: Json) -> bool:
    return bool(one["metadata"]["name"].endswith("-metrics"))


def pods(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    """What each object that makes pods is, and the pod's `spec`."""
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Pod":
            yield one["metadata"]["labels"]["app.kubernetes.io/component"], spec
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield one["metadata"]["labels"]["app.kubernetes.io/component"], spec["template"]["spec"]


def containers(pod: Json) -> list[Json]:
    """All of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(container: Json) -> dict[str, Json]:
    """The variables as the manifest says them, by their names."""
    return {one["name"]: one for one in container["env"]}


def given(container: Json) -> dict[str, str]:
    """The variables as the process would find them."""
    return {
        name: one.get("value") or SECRETS.get(name, SECRET)
        for name, one in environment(container).items()
    }


def mounted(container: Json, pod: Json) -> dict[str, list[str]]:
    """The files that our volumes put into a container; the kind, name and key of their source."""
    places = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    return {
        f"{places[volume['name']]}/{item['path']}": [kind, what["name"], item["key"]]
        for volume in pod["volumes"]
        if volume["name"] in places
        for source in volume.get("projected", {}).get("sources", [])
        for kind, what in source.items()
        for item in what.get("items", [])
    }


def write_files(folder: Path) -> dict[str, str]:
    """Files in place of those that would be mounted, by the last word of their variables."""
    own = (authority := trustme.CA()).issue_cert("client.example")
    texts = {
        "CA": authority.cert_pem.bytes(),
        "CERT": own.cert_chain_pems[0].bytes(),
        "CERTIFICATE": own.cert_chain_pems[0].bytes(),
        "KEY": own.private_key_pem.bytes(),
        "TOKEN": b"a.token",
        "DATABASE": b"",
    }
    secrets = {name: value.encode() for name, value in SECRETS.items()}
    for name, text in (texts | secrets | {"SECRET": SECRET.encode()}).items():
        (folder / name).write_bytes(text)
    return {name: str(folder / name) for name in (*texts, *secrets, "SECRET")}


def file_for(variable: str, files: dict[str, str]) -> str:
    """The one of `write_files` that a variable ending with _FILE is to name."""
    name = variable.removesuffix("_FILE")
    return files.get(name) or files.get(name.rsplit("_", 1)[1]) or files["SECRET"]


def process_of(container: Json) -> str:
    """Which of our processes it runs."""
    return container["name"] if container["name"] in {"ingest", "processor", "query"} else "ragtime"


def notes(folder: Path, *arguments: str) -> str:
    """What `helm install` prints last; `helm template` leaves it out, so it is made a file."""
    copy = shutil.copytree(CHART, folder / "chart")
    file = copy / "templates" / "NOTES.txt"
    text = '{{- define "notes" -}}' + file.read_text("utf-8") + "{{- end -}}\n"
    (copy / "templates" / "notes.yaml").write_text(
        text + 'kind: Notes\ntext: {{ include "notes" . | toJson }}\n', "utf-8"
    )
    (rendered,) = manifests(render(*arguments, "--show-only", "templates/notes.yaml", chart=copy))
    printed: str = rendered["text"]
    return printed
