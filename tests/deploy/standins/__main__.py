"""`python -m tests.deploy.standins`: builds stand-in images, prints the variables for them.

Needs a Docker daemon, mmdebstrap (Debian: apt install mmdebstrap) and the package registries; for
Prometheus Go, which builds it the first time in minutes: without Go there is none. What is printed
can be given to compose: `docker compose --env-file .env --env-file standins.env up`.
"""

import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local import kafka
from deploy.local.layout import CHECKOUT, layout
from tests.deploy.tools import PROMETHEUS, PROMETHEUS_OPTION, go_tool

BASE = "ragtime-standin/debian:trixie"
# The variables of docker-compose.yml, and the stages of the Dockerfile here.
IMAGES = {
    "PYTHON_IMAGE": ("python", "ragtime-standin/python:3.13"),
    "KAFKA_IMAGE": ("kafka", f"ragtime-standin/kafka:{kafka.VERSION}"),
    "CLICKHOUSE_IMAGE": ("clickhouse", "ragtime-standin/clickhouse:gateway"),
    "VALKEY_IMAGE": ("valkey", "ragtime-standin/valkey:debian"),
}
PROMETHEUS_IMAGE = ("prometheus", f"ragtime-standin/prometheus:{PROMETHEUS.partition('@')[2]}")
_DEBIAN = "trixie"
_PACKAGES = "python3,ca-certificates"
_PIP = "pip==25.3"


def build() -> dict[str, str]:
    """Build the stand-ins; the name of each image by its variable."""
    images = IMAGES | ({"PROMETHEUS_IMAGE": PROMETHEUS_IMAGE} if shutil.which("go") else {})
    with tempfile.TemporaryDirectory(prefix="ragtime-standins-") as name:
        context = Path(name)
        _have_base(context)
        _fill(context)
        if "PROMETHEUS_IMAGE" in images:
            shutil.copy(go_tool(PROMETHEUS, PROMETHEUS_OPTION), context / "prometheus")
        for stage, image in images.values():
            _build(context, stage, image)
    return {variable: image for variable, (_, image) in images.items()}


def _have_base(folder: Path) -> None:
    if _run(["docker", "image", "inspect", BASE], check=False).returncode == 0:
        return
    root = folder / "root.tar"
    options = ["--variant=minbase", f"--include={_PACKAGES}"]
    _run(["mmdebstrap", *options, _DEBIAN, str(root)])
    _run(["docker", "import", str(root), BASE])
    root.unlink()


def _fill(context: Path) -> None:
    """What the images are made of: this checkout, Kafka's jars, what this machine trusts."""
    for part in ("libs", "deploy", "services", "tests/deploy/standins"):
        shutil.copytree(
            CHECKOUT / part, context / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    (context / "requirements").mkdir()
    shutil.copy(CHECKOUT / "requirements" / "local.txt", context / "requirements")
    kafka.have_jars(layout().cache)
    shutil.copytree(layout().cache, context / "jars", ignore=shutil.ignore_patterns("go"))
    trusted = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    shutil.copy(trusted, context / "ca-certificates.crt")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", _PIP]
    _run([*download, f"--dest={context}"])


def _build(context: Path, stage: str, image: str) -> None:
    dockerfile = context / "tests" / "deploy" / "standins" / "Dockerfile"
    options = [f"--target={stage}", f"--tag={image}", f"--build-arg=BASE={BASE}"]
    _run(["docker", "build", "--quiet", *options, f"--file={dockerfile}", str(context)])


def _run(command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{command[0]} {command[1]} failed:\n{done.stdout}{done.stderr}")
    return done


def main() -> None:
    """Build, and print the variables."""
    for variable, image in build().items():
        sys.stdout.write(f"{variable}={image}\n")


if __name__ == "__main__":
    main()
