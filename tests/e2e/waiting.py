"""Waiting for what other processes do: for a condition, with a deadline, never for a time."""

import time
from collections.abc import Callable

_INTERVAL_S = 0.05


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Return as soon as the condition holds; fail with `what` when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:g} s still not true: {what}")
        time.sleep(_INTERVAL_S)
