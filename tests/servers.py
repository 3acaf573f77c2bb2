"""Real servers for the tests, found in this order: those that the environment names
(RAGTIME_TEST_KAFKA, RAGTIME_TEST_CLICKHOUSE_URL, _USER, _PASSWORD), containers where a Docker
daemon answers and has or gets the images, else the local stack's Kafka and gateway on free ports in
a folder of their own.

A server that does not start is an error, never a skipped test.
"""

import asyncio
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from deploy.local import kafka
from deploy.local.credentials import DATABASES, read_secrets, write_private, write_users
from deploy.local.environments import plain_environment
from deploy.local.layout import CHECKOUT, Layout, layout, make_state
from deploy.local.ports import Ports, choose_ports, variable, write_ports
from libs.clickhouse.rights import RIGHTS
from tests.ports import free_port

_START_S = 120.0
_STOP_S = 30.0
_INTERVAL_S = 0.1
_TAIL_LINES = 30
_FEW, _MANY = 8, 400
_KAFKA_IMAGE = f"apache/kafka:{kafka.VERSION}"
_CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.9"
_BACKUPS = str(CHECKOUT / "deploy" / "clickhouse" / "backups.xml")
# Fails where no daemon answers, or it neither has an image nor can pull it.
_GET_IMAGES = """
import sys, docker
images = docker.from_env().images
for name in sys.argv[1:]:
    try:
        images.get(name)
    except docker.errors.ImageNotFound:
        images.pull(name)
"""


@dataclass(frozen=True)
class Credentials:
    """A user of ClickHouse."""

    user: str
    password: str = field(repr=False)


def _unlike_all_others() -> Iterator[str]:
    while True:
        yield f"test_{secrets.token_hex(6)}"


@dataclass(frozen=True)
class Servers:
    """Where the servers are. `users` has a user with the rights of each service, or is empty.

    `pids`: the processes, where they run on this machine and were started here. `databases`: names
    that nobody else uses. As on a server, users have rights in databases that are named.
    """

    kafka: str
    clickhouse_url: str
    admin: Credentials
    users: dict[str, Credentials]
    kind: str
    pids: dict[str, int] = field(default_factory=dict)
    databases: Iterator[str] = field(default_factory=_unlike_all_others, repr=False)
    operators: tuple[Credentials, ...] = ()

    @property
    def operator(self) -> Credentials:
        """Who may do everything on the server; `admin` may in our databases alone."""
        return (*self.operators, self.admin)[0]

    def new_database(self) -> str:
        """The name of a database that is not made yet, in which `users` have their rights."""
        name = next(self.databases, None)
        if name is None:
            raise RuntimeError(
                "the gateway's users have rights in no more databases: make _MANY more"
            )
        return name


@contextmanager
def servers() -> Iterator[Servers]:
    """Real servers that answer; what this started is stopped at the end, after a TERM too."""
    with ExitStack() as started:
        started.enter_context(_terminated_like_interrupted())
        yield _named() or _in_containers(started) or _local(started)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    # pytest cleans up after Ctrl-C; TERM would end it at once and leave the servers running.
    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _named() -> Servers | None:
    kafka_address = os.environ.get("RAGTIME_TEST_KAFKA")
    url = os.environ.get("RAGTIME_TEST_CLICKHOUSE_URL")
    if not kafka_address and not url:
        return None
    if not kafka_address or not url:
        raise ValueError("set both RAGTIME_TEST_KAFKA and RAGTIME_TEST_CLICKHOUSE_URL, or neither")
    user = os.environ.get("RAGTIME_TEST_CLICKHOUSE_USER", "default")
    password = os.environ.get("RAGTIME_TEST_CLICKHOUSE_PASSWORD", "")
    found = Servers(kafka_address, url, Credentials(user, password), {}, "environment")
    _wait_until_answering(found)
    return found


def _in_containers(started: ExitStack) -> Servers | None:
    # Asked in a process of its own: the library leaves sockets open when no daemon answers.
    images = _KAFKA_IMAGE, _CLICKHOUSE_IMAGE, testcontainers_config.ryuk_image
    ask = [sys.executable, "-c", _GET_IMAGES, *images]
    if subprocess.run(ask, capture_output=True, check=False).returncode != 0:
        return None
    port, controller = free_port(), free_port()
    broker = (
        DockerContainer(_KAFKA_IMAGE)
        .with_bind_ports(port, port)
        .with_envs(**_kafka_in_container(port, controller))
    )
    admin = Credentials("admin", secrets.token_urlsafe(12))
    clickhouse = (
        DockerContainer(_CLICKHOUSE_IMAGE)
        .with_exposed_ports(8123)
        .with_envs(CLICKHOUSE_USER=admin.user, CLICKHOUSE_PASSWORD=admin.password)
        .with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1")
        .with_volume_mapping(_BACKUPS, "/etc/clickhouse-server/config.d/backups.xml")
    )
    started.enter_context(broker)
    started.enter_context(clickhouse)
    url = f"http://127.0.0.1:{clickhouse.get_exposed_port(8123)}"
    found = Servers(f"127.0.0.1:{port}", url, admin, {}, "testcontainers")
    _wait_until_answering(found)
    return found


def _kafka_in_container(port: int, controller: int) -> dict[str, str]:
    # The broker tells its clients where it is: it must know the port on this machine.
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{controller}",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://localhost:{controller}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }


def _local(started: ExitStack) -> Servers:
    folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="ragtime-test-")))
    where, found = prepare_local(folder, _MANY)
    processes = {name: _start(started, where, name) for name in ("kafka", "clickhouse")}
    _wait_until_answering(found, lambda: _check_running(list(processes.values()), where))
    return replace(found, pids={name: process.pid for name, process in processes.items()})


def prepare_local(folder: Path, databases: int = _FEW) -> tuple[Layout, Servers]:
    """Write all that a local Kafka and gateway on free ports need to be started in a folder.

    `databases`: how many of them tests may make. Each costs the gateway 5 ms when it starts.
    """
    names = [f"test_{number}" for number in range(databases)]
    where = Layout(folder, layout().cache)
    kafka.have_jars(where.cache)
    make_state(where)
    ports = choose_ports({}, {variable(port.name): str(free_port()) for port in fields(Ports)})
    write_ports(where, ports)
    kafka.prepare(where, ports.kafka, ports.kafka_controller)
    passwords = read_secrets(where)
    peers = [f"{name}_peer" for name in names[:_FEW]]  # of benchmarks
    write_users(where.clickhouse_users, passwords, [*names, *peers, *DATABASES])
    operator = _add_operator(where.clickhouse_users)
    users = {name: Credentials(name, passwords[name]) for name in RIGHTS}
    return where, Servers(
        kafka=f"127.0.0.1:{ports.kafka}",
        clickhouse_url=f"http://127.0.0.1:{ports.clickhouse}",
        admin=users["admin"],
        users=users,
        kind="local stack",
        databases=iter(names),
        operators=(operator,),
    )


def _add_operator(users_file: Path) -> Credentials:
    """A user more in the gateway's file, for what tests do to a server and no service may."""
    operator = Credentials("operator", secrets.token_urlsafe(12))
    users = json.loads(users_file.read_text())
    users["users"].append(
        {
            "name": operator.user,
            "password_sha256": hashlib.sha256(operator.password.encode()).hexdigest(),
            "grants": ["GRANT ALL ON *.* WITH GRANT OPTION"],
        }
    )
    write_private(users_file, json.dumps(users))
    return operator


def local_command(name: str) -> list[str]:
    """What starts a server of a local stack; where it lies is told by `local_environment`."""
    return [sys.executable, "-m", "deploy.local.processes", name]


def local_environment(where: Layout) -> dict[str, str]:
    """The environment of a server of a local stack."""
    return plain_environment() | {"RAGTIME_LOCAL_DIR": str(where.state)}


def _start(started: ExitStack, where: Layout, name: str) -> subprocess.Popen[bytes]:
    with where.log(name).open("wb") as log:
        process = subprocess.Popen(
            local_command(name),
            cwd=CHECKOUT,
            env=local_environment(where),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests, which then stop it themselves
        )
    started.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _check_running(processes: list[subprocess.Popen[bytes]], where: Layout) -> None:
    if any(process.poll() is not None for process in processes):
        logs = [log.read_text(errors="replace") for log in sorted(where.logs.glob("*.log"))]
        tails = "\n".join("\n".join(log.splitlines()[-_TAIL_LINES:]) for log in logs)
        raise RuntimeError(f"Kafka or the ClickHouse gateway ended at its start:\n{tails}")


def _wait_until_answering(found: Servers, check: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + _START_S
    while not (clickhouse_answers(found.clickhouse_url) and kafka_answers(found.kafka)):
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found.clickhouse_url} or {found.kafka} ({found.kind}) is silent")
        time.sleep(_INTERVAL_S)


def clickhouse_answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def kafka_answers(address: str) -> bool:
    return asyncio.run(_has_brokers(address))


async def _has_brokers(address: str) -> bool:
    client = AIOKafkaAdminClient(bootstrap_servers=address)
    try:
        await client.start()
        return bool((await client.describe_cluster())["brokers"])
    except KafkaError:
        return False
    finally:
        await client.close()
