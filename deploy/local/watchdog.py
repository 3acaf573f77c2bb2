"""Kills the gateway when it stops answering; the process manager then starts it again.

The embedded engine was once seen to hang its whole process, which no code inside can notice.
"""

import signal
import time

from deploy.local import pids
from deploy.local.health import answers
from deploy.local.layout import Layout, layout
from deploy.local.ports import Ports, read_ports

_INTERVAL_S = 2.0
_SILENT_S = 15.0
# Opening large tables takes time, in which nothing answers yet.
_STARTING_S = 120.0


def main() -> None:
    """Watch until told to stop."""
    where = layout()
    url = f"http://127.0.0.1:{Ports(**read_ports(where)).clickhouse}/ping"
    patience_ends = time.monotonic() + _STARTING_S
    while True:
        if answers(url):
            patience_ends = time.monotonic() + _SILENT_S
        elif time.monotonic() > patience_ends:
            _kill(where)
            patience_ends = time.monotonic() + _STARTING_S
        time.sleep(_INTERVAL_S)


def _kill(where: Layout) -> None:
    if pids.signal_process(where.process("clickhouse"), signal.SIGKILL):
        now = time.strftime("%Y-%m-%dT%H:%M:%S")
        print(f"{now} the gateway did not answer any more: killed", flush=True)


if __name__ == "__main__":
    main()
