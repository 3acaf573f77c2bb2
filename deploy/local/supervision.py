"""The process manager (supervisor) of a stack: its configuration, its start, its end.

It has no control socket: a checkout may lie deeper than a socket's path may be long, and a pid and
signals are enough. TERM makes it stop all it started, the services before the servers.
"""

import shlex
import signal
import subprocess
from pathlib import Path

from deploy.local import pids
from deploy.local.environments import SERVICES, plain_environment
from deploy.local.layout import CHECKOUT, PYTHON, Layout, StackError

_STOP_S = 90.0
_KILL_S = 15.0
# In the order of starting, with the seconds that each may take to stop. Kafka needs one, but waits
# much longer when it is told to stop while it starts; what it acknowledged is safe all the same.
PROGRAMS = {"kafka": 15, "clickhouse": 15, "watchdog": 2, **dict.fromkeys(SERVICES, 15)}

_HEAD = """\
[supervisord]
nodaemon=true
silent=true
logfile=logs/supervisor.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=run/supervisord.pid
childlogdir=logs

[group:services]
programs={services}
priority=9
"""
# What ends within a second of its start is started again a little later each time.
_PROGRAM = """
[program:{name}]
command={python} -m deploy.local.processes {name}
directory={checkout}
priority={order}
autorestart=true
startsecs=1
startretries=1000000
stopsignal=TERM
stopwaitsecs={stop_s}
redirect_stderr=true
stdout_logfile=logs/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""


def configuration() -> str:
    """The configuration file; it holds no secret. Its relative paths start at the stack's state."""
    paths = {
        "python": _escaped(shlex.quote(PYTHON)),
        "checkout": _escaped(CHECKOUT),
    }
    programs = (
        _PROGRAM.format(name=name, order=order, stop_s=stop_s, **paths)
        for order, (name, stop_s) in enumerate(PROGRAMS.items(), start=1)
    )
    return _HEAD.format(services=",".join(SERVICES), **paths) + "".join(programs)


def _escaped(path: Path | str) -> str:
    return str(path).replace("%", "%%")  # the file's sign for a variable


def start(where: Layout) -> None:
    """Start the manager in a session of its own, so that it outlives this command."""
    file = where.supervisor.with_suffix(".conf")
    file.write_text(configuration())
    with where.log("supervisor.out").open("wb") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "supervisor.supervisord", "-c", str(file)],
            cwd=where.state,
            env=plain_environment() | {"RAGTIME_LOCAL_DIR": str(where.state)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    pids.remember(where.supervisor, process.pid)


def is_running(where: Layout) -> bool:
    """Whether the manager that was started last still runs."""
    return pids.running(where.supervisor) is not None


def stop(where: Layout) -> bool:
    """Stop all processes of the stack, those too that lost their manager; whether any ran.

    Raises StackError when one does not end.
    """
    managed = pids.signal_process(where.supervisor, signal.SIGTERM)
    if managed and not pids.wait_until_gone(where.supervisor, _STOP_S):
        raise StackError(f"the process manager does not stop; see {where.log('supervisor')}")
    lost = [name for name in reversed(PROGRAMS) if pids.end(where.process(name), _KILL_S)]
    return managed or bool(lost)
