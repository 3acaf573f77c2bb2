"""Brings a stack up, step by step, and ends with an answer that the whole of it gave."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from rich.console import Console

from deploy.local import kafka, pids, supervision
from deploy.local.answer import show_answer
from deploy.local.credentials import read_secrets, write_users
from deploy.local.demo import make_project, ragtime, send_demo, write_environments
from deploy.local.environments import SERVICES, admin_environment
from deploy.local.health import answers, health_urls
from deploy.local.layout import Layout, StackError, make_state
from deploy.local.locking import locked
from deploy.local.ports import Ports, check_free, choose_ports, ignored, read_ports, write_ports

_READY_S = 120.0
_INTERVAL_S = 0.1
_TAIL_LINES = 15
_JAVA_FRAME = "\tat "  # dozens of them hide the line that says what is wrong
# A process that was started so often while it was waited for will not get ready.
_STARTS = 4

console = Console(highlight=False)


def up(where: Layout) -> None:
    """Start what does not run yet, make the demo the first time, and answer from it."""
    make_state(where)
    with locked(where.state / "lock", "another command is at work on this stack"):
        if supervision.is_running(where):
            console.print("the stack is up already")
            ports = Ports(**read_ports(where))
            for name in ignored(ports, os.environ):
                console.print(f"it keeps its ports: {name} counts from the next `make down` on")
            _wait_for_servers(where, ports)
            _wait_for_services(where, ports)
        else:
            _start_or_stop(where)
        show_answer(console, where)


def _start_or_stop(where: Layout) -> None:
    supervision.stop(where)  # processes whose manager was killed would hold the ports
    ports = choose_ports(read_ports(where), os.environ)
    check_free(ports)
    try:
        _start(where, ports)
    except BaseException:
        console.print("stopping what was started")
        supervision.stop(where)
        raise


def _start(where: Layout, ports: Ports) -> None:
    write_ports(where, ports)
    _step("Kafka's jars", lambda: kafka.have_jars(where.cache))
    write_users(where.clickhouse_users, read_secrets(where))
    write_environments(where, ports)
    _step("Kafka's storage", lambda: kafka.prepare(where, ports.kafka, ports.kafka_controller))
    supervision.start(where)
    _wait_for_servers(where, ports)
    admin = admin_environment(where, ports)
    _step("topics and tables", lambda: ragtime(["init", "--anew"], admin))
    _wait_for_services(where, ports)
    _step("demo project", lambda: make_project(where, ports))
    if not where.demo_sent.exists():
        send_demo(where)


def _wait_for_servers(where: Layout, ports: Ports) -> None:
    _wait(where, "kafka", lambda: _listens(ports.kafka))
    _wait(where, "clickhouse", lambda: answers(health_urls(ports)["clickhouse"]))


def _wait_for_services(where: Layout, ports: Ports) -> None:
    urls = health_urls(ports)
    for name in SERVICES:
        _wait(where, name, partial(answers, urls[name]))


def _step(what: str, work: Callable[[], object]) -> None:
    started = time.monotonic()
    with console.status(what):
        work()
    console.print(f"[green]✓[/] {what} ({time.monotonic() - started:.1f} s)")


def _wait(where: Layout, name: str, is_ready: Callable[[], bool]) -> None:
    """Wait until a process works. Raises StackError with the end of its log when it does not."""

    def wait() -> None:
        deadline = time.monotonic() + _READY_S
        seen: set[int | None] = set()
        while not is_ready():
            seen.add(pids.running(where.process(name)))
            if not supervision.is_running(where):
                raise StackError(f"the process manager ended:\n{_tail(where, 'supervisor.out')}")
            if len(seen - {None}) >= _STARTS:
                raise StackError(f"{name} ends as soon as it starts:\n{_tail(where, name)}")
            if time.monotonic() > deadline:
                raise StackError(f"{name} is not ready in time:\n{_tail(where, name)}")
            time.sleep(_INTERVAL_S)

    _step(name, wait)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _tail(where: Layout, name: str) -> str:
    log = where.log(name)
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if not line.startswith(_JAVA_FRAME)]
    return "\n".join([*lines[-_TAIL_LINES:], f"(the end of {log})"])
