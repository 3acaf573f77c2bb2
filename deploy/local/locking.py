"""A lock between processes: commands in one checkout may come at the same time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(file: Path, waiting_for: str) -> Iterator[None]:
    """Hold the lock of this name; waits for whoever holds it, and says so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{waiting_for}: waiting until it is done", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
