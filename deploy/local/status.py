"""Says what runs and what works."""

from deploy.local import pids
from deploy.local.health import answers, health_urls
from deploy.local.layout import Layout
from deploy.local.ports import Ports, read_ports
from deploy.local.supervision import PROGRAMS


def show_status(where: Layout) -> None:
    """A line a process: its pid, and whether it answers."""
    urls = health_urls(Ports(**read_ports(where)))
    for name in PROGRAMS:
        pid = pids.running(where.process(name))
        if pid is None:
            print(f"{name:11} not running")
        elif name in urls:
            print(f"{name:11} pid {pid:<8} {'ready' if answers(urls[name]) else 'not ready'}")
        else:
            print(f"{name:11} pid {pid:<8} running")
