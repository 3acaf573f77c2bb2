"""Runs work that pauses for others alone (`asyncio.sleep(0)`), without an event loop."""

import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to."""
    return timed(work)[0]


def timed(work: Coroutine[Any, Any, T]) -> tuple[T, list[float]]:
    """The same, and the seconds of CPU time of each turn."""
    turns = []
    while True:
        started = time.thread_time()
        try:
            work.send(None)
        except StopIteration as end:
            turns.append(time.thread_time() - started)
            return end.value, turns
        turns.append(time.thread_time() - started)
