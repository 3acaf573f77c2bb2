"""`python -m tests.bench.neighbours.attacker KIND`: A at work, as a process of its own.

Whom it attacks, and with which keys, comes in the environment; what it has achieved goes to stdout.
"""

import asyncio
import os
import sys
import time
from contextlib import suppress
from subprocess import PIPE, Popen

import msgspec
import uvloop

from tests.bench.neighbours.kinds import KINDS
from tests.bench.neighbours.target import Report, Run, Target, target_of
from tests.e2e.processes import CHECKOUT

_TARGET = "BENCH_TARGET"
_ENDS_WITHIN_S = 60.0


class Attacker:
    """The process, from outside."""

    def __init__(self, kind: str, target: Target) -> None:
        self._ends_within_s = target.seconds + _ENDS_WITHIN_S
        self._process = Popen(
            [sys.executable, "-m", "tests.bench.neighbours.attacker", kind],
            cwd=CHECKOUT,
            env=os.environ | {_TARGET: target.as_json()},
            stdout=PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it says when it begins

    def report(self) -> Report:
        """What it has achieved, when its time is over and it has let go of all it holds."""
        said, _ = self._process.communicate(timeout=self._ends_within_s)
        return msgspec.json.decode(said, type=Report)

    def kill(self) -> None:
        """End it, whatever it is at."""
        self._process.kill()
        self._process.wait()


async def attack(kind: str, target: Target) -> Report:
    """Attack for as long as the target says, from when all is made that will be sent."""
    run = Run(target.seconds)
    work = asyncio.create_task(KINDS[kind].attack(target, run))
    begins = asyncio.create_task(run.begun.wait())
    await asyncio.wait({work, begins}, return_when=asyncio.FIRST_COMPLETED)
    _say("begins")
    started, cpu_s = time.monotonic(), time.process_time()
    done, _ = await asyncio.wait({work}, timeout=target.seconds)
    seconds = time.monotonic() - started
    if work in done:
        work.result()
    work.cancel()  # it may be at what takes long: a slow body, an answer that is not read
    with suppress(asyncio.CancelledError):
        await work
    return Report(seconds, run.accepted, dict(run.told), time.process_time() - cpu_s)


def main() -> None:
    """Attack, and tell."""
    kind, target = sys.argv[1], target_of(os.environ[_TARGET])
    report = uvloop.run(attack(kind, target))
    _say(msgspec.json.encode(report).decode())
    os._exit(0)  # connections that stand still would be waited for


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
