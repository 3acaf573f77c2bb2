"""`up`, `down` and what lies between, as a person at a terminal has them."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from deploy.local.layout import CHECKOUT
from deploy.local.supervision import PROGRAMS
from tests.integration.local_stack.running import LocalStack, until
from tests.local_http import HTTP

pytestmark = pytest.mark.integration


def test_up_says_so_and_answers_when_it_is_up_already(stack: LocalStack) -> None:
    before = stack.running()

    said = stack.up()

    assert "the stack is up already" in said
    assert f'curl "{stack.demo["RT_QUERY_URL"]}/api/v1/projects/demo/analytics?from=' in said
    assert "public" in said
    assert stack.running() == before


def test_data_and_keys_are_still_there_when_it_was_down_in_between(stack: LocalStack) -> None:
    answer, demo, ports = stack.answer(), stack.demo, stack.ports

    assert stack.run("down").returncode == 0
    assert stack.running() == {}
    said = stack.up()

    assert answer
    assert stack.answer() == answer
    assert (stack.demo, stack.ports) == (demo, ports)
    assert "sent" not in said  # the demo is sent once


def test_down_has_nothing_to_do_when_it_is_down(stack: LocalStack) -> None:
    stack.run("down")

    done = stack.run("down")

    assert (done.returncode, done.stdout) == (0, "the stack was not up\n")
    stack.up()


def test_down_ends_everything_when_the_process_manager_was_killed(stack: LocalStack) -> None:
    pid = int((stack.where.supervisor.parent / "supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)

    assert stack.run("down").returncode == 0

    assert stack.running() == {}
    stack.up()


@pytest.mark.parametrize("name", ["ingest", "processor", "query", "kafka", "clickhouse"])
def test_process_is_started_again_when_it_was_killed(stack: LocalStack, name: str) -> None:
    assert stack.restarted(name, signal.SIGKILL, timeout_s=15)

    assert "ready" in stack.run("status").stdout
    stack.up()
    assert stack.answer()


def test_gateway_is_started_again_when_it_is_silent(stack: LocalStack) -> None:
    assert stack.restarted("clickhouse", signal.SIGSTOP, timeout_s=40)

    stack.up()
    assert stack.answer()


def test_command_works_on_the_stack_when_its_settings_are_sourced(stack: LocalStack) -> None:
    script = 'set -a; . "$1"; exec "$2" -m services.admin keys list --json'

    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(stack.where.ragtime_env), sys.executable],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"demo"') >= 2


def test_nothing_readable_by_others_holds_a_secret(stack: LocalStack) -> None:
    hidden = [*stack.demo.values(), *stack.where.secrets.read_text().split('"')[3::4]]
    secrets = [text.encode() for text in hidden if len(text) > 30 and "://" not in text]

    files = [path for path in stack.folder.rglob("*") if path.is_file()]
    leaks = [
        (path.name, secret)
        for path in files
        if path.stat().st_mode & 0o077 and path.suffix in {".log", ".conf", ".json", ".properties"}
        for secret in secrets
        if secret in path.read_bytes()
    ]

    assert len(secrets) >= 6
    assert leaks == []
    assert stack.folder.stat().st_mode & 0o077 == 0


def test_up_names_port_and_variable_and_starts_nothing_when_a_port_is_taken(
    stack: LocalStack,
) -> None:
    stack.run("down")
    with socket.create_server(("127.0.0.1", stack.ports.ingest)):
        done = stack.run("up")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"port {stack.ports.ingest}, wanted for ingest, is taken" in done.stderr
    assert "RAGTIME_INGEST_PORT" in done.stderr
    assert stack.running() == {}
    stack.up()


def test_up_shows_the_end_of_the_log_and_stops_all_when_a_server_cannot_start(
    stack: LocalStack,
) -> None:
    stack.run("down")
    meta = stack.where.kafka / "data" / "meta.properties"
    kept = meta.read_text()
    meta.write_text("broken\n")

    try:
        done = stack.run("up")
    finally:
        meta.write_text(kept)

    assert done.returncode == 1
    assert "kafka ends as soon as it starts" in done.stderr
    assert "node ID not found" in done.stderr
    assert stack.running() == {}
    stack.up()


def test_events_are_counted_again_when_the_folder_of_kafka_was_lost(stack: LocalStack) -> None:
    before = stack.answer()
    stack.run("down")
    shutil.rmtree(stack.where.kafka)

    stack.up()

    assert stack.answer() == before
    send_event(stack)
    assert until(lambda: stack.answer() != before, timeout_s=60)


def send_event(stack: LocalStack) -> None:
    """One message of the demo's project."""
    demo = stack.demo
    answer = HTTP.post(
        f"{demo['RT_INGEST_URL']}/api/v1/projects/{demo['RT_PROJECT']}/events",
        headers={"Authorization": f"Bearer {demo['RT_LIVE_KEY']}"},
        json={"type": "chat.message", "role": "user", "sessionId": "s", "conversationId": "c"},
    )
    assert answer.status_code == 202, answer.text


def test_everything_is_stopped_when_up_is_interrupted(stack: LocalStack) -> None:
    stack.run("down")
    process = stack.begin("up")
    assert until(lambda: len(stack.running()) == len(PROGRAMS), timeout_s=30)

    # As Ctrl-C does; but SIGINT itself is ignored by what a shell started in the background.
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 130
    assert stack.running() == {}
    stack.up()
