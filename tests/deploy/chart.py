"""The chart as helm renders it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.settings import CHART
from tests.deploy.tools import HELM, KUBERNETES, go_tool

Json = dict[str, Any]

VALUES = Path(__file__).parent / "values"
RELEASE = "release"


class RefusedError(Exception):
    """Helm rendered nothing; the text says why."""


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
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield one["metadata"]["labels"]["app.kubernetes.io/component"], spec["template"]["spec"]


def containers(pod: Json) -> list[Json]:
    """All of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


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
