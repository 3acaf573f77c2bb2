"""`python -m tests.bench.watched FILE MODULE`: run a service, and note how long its loop was busy.

A line a second: the CPU milliseconds that the loop's thread worked without looking up, at most.
CPU time, as a busy machine makes each gap between two looks long, but not the work in it.
"""

import asyncio
import runpy
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path

from libs.http import background

_LOOKS_S = 0.001
_LINES_S = 1.0

_start_forever = background.start_forever


async def _note(file: Path) -> None:
    worst_s, line_at = 0.0, time.monotonic() + _LINES_S
    with file.open("a", encoding="utf-8", buffering=1) as lines:
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(_LOOKS_S)
            worst_s = max(worst_s, time.thread_time() - before_s)
            if time.monotonic() >= line_at:
                lines.write(f"{worst_s * 1000:.3f}\n")
                worst_s, line_at = 0.0, time.monotonic() + _LINES_S


def noted(file: Path) -> Sequence[float]:
    """The lines so far."""
    return [float(line) for line in file.read_text("utf-8").split()] if file.exists() else []


def main() -> None:
    """Run the service as `python -m MODULE` would."""
    file, module = Path(sys.argv[1]), sys.argv[2]
    watching: list[asyncio.Task[None]] = []

    def start_forever(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        if not watching:
            watching.append(asyncio.create_task(_note(file)))
        return _start_forever(work)

    background.start_forever = start_forever
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
