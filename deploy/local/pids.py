"""Tells a process from a later one that was given the same pid.

Linux says when a process started, and in which boot. Elsewhere the pid alone must do.
"""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_GONE = ("Z", "X")  # ended; only its parent has not asked yet
_INTERVAL_S = 0.05


def remember(file: Path, pid: int) -> None:
    """Note in a file who a process is."""
    file.write_text(json.dumps({"pid": pid, "born": _born(pid)}))


def running(file: Path) -> int | None:
    """The pid that the file remembers, if that very process still runs."""
    try:
        noted = json.loads(file.read_text())
        pid = int(noted["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid if noted["born"] == _born(pid) else None


def wait_until_gone(file: Path, timeout_s: float) -> bool:
    """Whether the process that the file remembers ended in time."""
    deadline = time.monotonic() + timeout_s
    while (pid := running(file)) is not None:
        if time.monotonic() > deadline:
            return False
        with suppress(ChildProcessError):  # it may be a child of ours
            os.waitpid(pid, os.WNOHANG)
        time.sleep(_INTERVAL_S)
    return True


def signal_process(file: Path, number: signal.Signals) -> bool:
    """Send a signal to the process that the file remembers; whether it still runs."""
    pid = running(file)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return pid is not None


def end(file: Path, timeout_s: float) -> bool:
    """TERM, and KILL when that does not help; whether there was anything to end."""
    if not signal_process(file, signal.SIGTERM):
        return False
    if not wait_until_gone(file, timeout_s):
        signal_process(file, signal.SIGKILL)
        wait_until_gone(file, timeout_s)
    return True


def _born(pid: int) -> str:
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return "gone" if state in _GONE else f"{boot} {fields[18]}"
