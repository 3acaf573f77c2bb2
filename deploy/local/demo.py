"""The demo project of a stack: its keys, the files that tell them to people, its data."""

import json
import subprocess
import time
from pathlib import Path

from deploy.local import supervision
from deploy.local.credentials import write_private
from deploy.local.environments import admin_environment, past_proxies, plain_environment
from deploy.local.health import status_of
from deploy.local.layout import CHECKOUT, PYTHON, Layout, StackError
from deploy.local.ports import Ports

PROJECT = "demo"
_COMMAND_S = 300.0
_KEY_KNOWN_S = 15.0
_INTERVAL_S = 0.5


def ragtime(arguments: list[str], environment: dict[str, str], *, show: bool = False) -> str:
    """Run the command `ragtime`: what it printed, unless shown. Raises StackError when it fails."""
    try:
        done = subprocess.run(
            [PYTHON, "-m", "services.admin", *arguments],
            cwd=CHECKOUT,
            env=plain_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"`ragtime {arguments[0]}` took over {_COMMAND_S:g} s") from None
    if done.returncode != 0:
        said = "" if show else f": {done.stderr.strip() or done.stdout.strip()}"
        raise StackError(f"`ragtime {arguments[0]}` failed{said}")
    return "" if show else done.stdout


def write_environments(where: Layout, ports: Ports) -> None:
    """The files that others read. The ports may differ from those of the last start."""
    write_private(where.ragtime_env, lines(admin_environment(where, ports) | past_proxies()))
    if where.demo_env.exists():
        kept = read_environment(where.demo_env)
        _write_demo(where, ports, kept["RT_LIVE_KEY"], kept["RT_TEST_KEY"])


def make_project(where: Layout, ports: Ports) -> None:
    """Make the keys of the demo project, unless an earlier start did; return when they work."""
    if not where.demo_env.exists():
        admin = admin_environment(where, ports)
        _write_demo(where, ports, make_key("live", admin), make_key("test", admin))
    wait_until_keys_work(read_environment(where.demo_env))


def wait_until_keys_work(demo: dict[str, str]) -> None:
    """Return when both services know the demo's keys. Raises StackError when they do not."""
    project = f"/api/v1/projects/{demo['RT_PROJECT']}"
    deadline = time.monotonic() + _KEY_KNOWN_S
    for url, body in (
        (f"{demo['RT_QUERY_URL']}{project}/analytics?category=usage", None),
        (f"{demo['RT_INGEST_URL']}{project}/events", b""),
    ):
        while status_of(url, demo["RT_TEST_KEY"], body) in {401, None}:
            if time.monotonic() > deadline:
                raise StackError(f"{url} does not accept the demo's keys")
            time.sleep(_INTERVAL_S)


def make_key(mode: str, environment: dict[str, str]) -> str:
    """Make a key of the demo project that may read and write; the key itself."""
    scopes = ("--scope", "analytics:read", "--scope", "events:write")
    what = ("--project", PROJECT, *scopes, "--mode", mode, "--label", "demo")
    return str(json.loads(ragtime(["keys", "create", *what, "--json"], environment))["key"])


def _write_demo(where: Layout, ports: Ports, live_key: str, test_key: str) -> None:
    values = {
        "RT_INGEST_URL": f"http://127.0.0.1:{ports.ingest}",
        "RT_QUERY_URL": f"http://127.0.0.1:{ports.query}",
        "RT_PROJECT": PROJECT,
        "RT_LIVE_KEY": live_key,
        "RT_TEST_KEY": test_key,
    }
    write_private(where.demo_env, lines(values))


def lines(values: dict[str, str]) -> str:
    """The text of a file of NAME=value lines."""
    # None of the values holds a character that a shell would touch.
    return "".join(f"{name}={value}\n" for name, value in values.items())


def read_environment(path: Path) -> dict[str, str]:
    """The variables of a file of NAME=value lines."""
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, _, value in pairs}


def send_demo(where: Layout) -> None:
    """Send the demo data set; each time adds more."""
    if not supervision.is_running(where) or not where.demo_env.exists():
        raise StackError("the stack is not up; start it first: make up")
    ragtime(["demo"], read_environment(where.demo_env), show=True)
    where.demo_sent.touch()
