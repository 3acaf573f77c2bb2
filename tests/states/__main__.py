"""`python -m tests.states [PART OF A NAME …]`: break an installation, and look who tells.

Of each state: after how long a process ended by itself or a rule of ours fired, what the doctor
said at once, and whether each accepted event was counted after the documented cure. Prometheus is
a real one, built by Go the first time. Beside the states one installation stays healthy for half
an hour: nothing may fire there. Exit code 1 when one of them is not as it should be.
"""

import argparse
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.processes import Process
from tests.e2e.waiting import wait_until
from tests.own_servers import running_servers
from tests.servers import Servers, servers
from tests.states.states import STATES, State
from tests.states.world import World, running_world

_ALERT_WITHIN_S = 15 * 60.0
_COUNTED_WITHIN_S = 300.0
_DOCTOR_WITHIN_S = 60.0
_WELL_WITHIN_S = 120.0
_HEALTHY_S = 30 * 60.0
_FIRST_EVENTS = 5
_PAUSE_S = 2.0


@dataclass(frozen=True)
class Told:
    """What became of one state."""

    name: str
    is_well: bool
    what: str


def observe(world: World, state: State) -> Told:
    """Make the state, wait until somebody tells, and cure it."""
    wait_until(lambda: world.producer.accepted > _FIRST_EVENTS, "events are accepted", 60)
    assert world.wait_until_counted(120), "events are counted before anything breaks"
    before = _what_remains(world, state)
    world.producer.go_on()
    state.make(world)
    made_at = time.monotonic()
    by_doctor = _wait_for_doctor(world, state, made_at)
    by_alert = _wait_for_alert(world, state, made_at)
    state.cure(world)
    is_counted = world.wait_until_counted(_COUNTED_WITHIN_S)
    counts = f"{world.counted()} of {world.producer.accepted} counted"
    after = _what_remains(world, state)
    is_well = not (before or after) and bool(by_doctor and by_alert) and is_counted
    nobody = f"no rule told but {sorted(world.prometheus.firing())}"
    parts = [by_alert or nobody, by_doctor or "the doctor did not tell", counts]
    if before or after:
        parts.append(f"doctor before: {sorted(before)}, after: {sorted(after)}")
    return Told(state.name, is_well, "; ".join(parts))


def _what_remains(world: World, state: State) -> set[str]:
    """The checks that are not well, also after a while: servers may have just started."""
    ends_at = time.monotonic() + _WELL_WITHIN_S
    while (after := world.doctor()[1].keys() - {state.remains}) and time.monotonic() < ends_at:
        time.sleep(_PAUSE_S)
    return after


def _wait_for_doctor(world: World, state: State, made_at: float) -> str:
    check, words = state.doctor
    while True:
        asked_s = time.monotonic() - made_at
        code, seen = world.doctor()
        if code and re.search(words, seen.get(check, "\0")):
            return f"doctor {code} at {asked_s:.0f} s: {check}: {seen[check][:160]}"
        if asked_s > _DOCTOR_WITHIN_S:
            return ""
        time.sleep(_PAUSE_S)


def _wait_for_alert(world: World, state: State, made_at: float) -> str:
    while (passed_s := time.monotonic() - made_at) < _ALERT_WITHIN_S:
        if state.ends and not world.stack.services[state.ends].is_running:
            return f"{state.ends} ended within {passed_s:.0f} s"
        if fired := world.prometheus.firing() & state.alerts:
            return f"{', '.join(sorted(fired))} at {passed_s:.0f} s"
        time.sleep(_PAUSE_S)
    return ""


def stay_healthy(world: World, seconds: float) -> Told:
    """Break nothing: nothing may fire."""
    ends_at, fired = time.monotonic() + seconds, set[str]()
    while time.monotonic() < ends_at:
        fired |= world.prometheus.firing()
        time.sleep(_PAUSE_S)
    is_counted = world.wait_until_counted(_COUNTED_WITHIN_S)
    code, seen = world.doctor()
    what = f"{seconds / 60:.0f} minutes: fired {sorted(fired)}, doctor {code} {seen}"
    what += f", {world.counted()} of {world.producer.accepted} counted"
    return Told("nothing is wrong", not fired and not code and is_counted, what)


@contextmanager
def _world_of(state: State | None, shared: Servers) -> Iterator[World]:
    name = re.sub(r"\W+", "-", state.name if state else "healthy")
    settings = state.settings if state else {}
    with tempfile.TemporaryDirectory(prefix=f"ragtime-{name}-") as path:
        folder = Path(path)
        if state and state.has_own_servers:
            with (
                running_servers(folder) as (processes, own),
                running_world(own, processes, folder, settings) as world,
            ):
                yield world
        else:
            nobody: dict[str, Process] = {}
            with running_world(shared, nobody, folder, settings) as world:
                yield world


def _run(state: State | None, shared: Servers, healthy_s: float) -> Told:
    try:
        with _world_of(state, shared) as world:
            told = observe(world, state) if state else stay_healthy(world, healthy_s)
    except Exception:  # noqa: BLE001 - the others go on
        told = Told(state.name if state else "nothing is wrong", False, traceback.format_exc())
    sys.stdout.write(f"{'ok  ' if told.is_well else 'FAIL'} {told.name}: {told.what}\n")
    sys.stdout.flush()
    return told


def main() -> int:
    """Run the states that are asked for, some side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a state's name")
    parser.add_argument("--together", type=int, default=6, help="so many at once")
    parser.add_argument("--healthy-s", type=float, default=_HEALTHY_S, help="0: leave it out")
    arguments = parser.parse_args()
    states = [one for one in STATES if _is_asked_for(one, arguments.names)]
    wanted: list[State | None] = [None] if arguments.healthy_s else []
    with servers() as shared, ThreadPoolExecutor(arguments.together) as threads:
        work = [
            threads.submit(_run, state, shared, arguments.healthy_s) for state in wanted + states
        ]
        told = [one.result() for one in work]
    sys.stdout.write(f"{sum(one.is_well for one in told)} of {len(told)} as they should be\n")
    return 0 if all(one.is_well for one in told) else 1


def _is_asked_for(state: State, names: Sequence[str]) -> bool:
    return not names or any(name in state.name for name in names)


if __name__ == "__main__":
    sys.exit(main())
