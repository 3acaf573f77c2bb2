"""What each process of the stack is started with.

`python -m deploy.local.processes NAME` becomes that process. The process manager's configuration
thus holds no secret.
"""

import os
import sys
from pathlib import Path

from deploy.local import kafka, pids
from deploy.local.environments import environment, plain_environment
from deploy.local.layout import CHECKOUT, PYTHON, Layout, layout
from deploy.local.ports import Ports, read_ports

_MODULES = {"clickhouse": "deploy.local.gateway", "watchdog": "deploy.local.watchdog"}


def command(name: str, where: Layout) -> tuple[list[str], Path]:
    """The command line of a process of the stack, and its working directory."""
    if name == "kafka":
        return kafka.broker_command(where.cache), where.kafka
    return [PYTHON, "-m", _MODULES.get(name, f"services.{name}")], CHECKOUT


def become(name: str) -> None:
    """Replace this process by the one named; signals then reach it without a go-between."""
    where = layout()
    own = environment(name, where, Ports(**read_ports(where)))
    line, folder = command(name, where)
    pids.remember(where.process(name), os.getpid())
    os.chdir(folder)
    os.execve(line[0], line, plain_environment() | own)  # noqa: S606 - that is the point


if __name__ == "__main__":
    become(sys.argv[1])
