"""Work that goes on beside the requests of a service, for ever."""

import asyncio
import os
from collections.abc import Coroutine

from libs.telemetry.logs import get_logger

log = get_logger()


def start_forever(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    """Start work that never ends by itself; if it does, it met a bug, and the process ends too.

    A new process serves better than one whose keys are never read again.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_exit_on_bug)
    return task


def _exit_on_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("background.bug", exc_info=task.exception())
        os._exit(1)
