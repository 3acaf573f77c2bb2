"""No neighbour harms another: the short form of `make bench-neighbours`, on one stack.

A attacks for some seconds in each way of `tests.bench.neighbours`, without limits of its keys,
while B writes and reads once a second. How soon B's events are counted is the bench's to tell, and
so are the kinds whose tables take long to fill: `old-repeats` (100,000 events), `heavy` (two
million of a device), `keys` (100,000).
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from tests.bench.neighbours.attacker import Attacker
from tests.bench.neighbours.kinds import KINDS
from tests.bench.neighbours.planting import plant, plant_answers
from tests.bench.neighbours.stage import Stage, staged_beside
from tests.bench.neighbours.victim import Seen, watch
from tests.bench.neighbours.watching import limits_mib, peaks_mib
from tests.servers import Servers

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

_LEFT_TO_THE_BENCH = {"old-repeats", "heavy", "keys"}
_SHORT = [kind for kind in KINDS if kind not in _LEFT_TO_THE_BENCH]
_WARM_UP_S, _ALONE_S, _BESIDE_S = 2, 4, 3
_PATIENCE_S = 60.0
# The bench holds A to twice; here others may be at work on the machine, and few answers are seen.
_MOST_TIMES, _FLOOR_S = 10.0, 2.0


@pytest.fixture(scope="module")
def stage(real_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Both projects, with all that the attacks need in the tables."""
    keys = max(KINDS[kind].keys for kind in _SHORT)
    with staged_beside(real_servers, tmp_path_factory.mktemp("neighbours"), keys) as stage:
        plant_answers(stage)
        for kind in _SHORT:
            plant(stage, kind)
        asyncio.run(watch(stage, _WARM_UP_S, _PATIENCE_S, "warm"))
        yield stage


@pytest.fixture(scope="module")
def alone(stage: Stage) -> Seen:
    """B while nobody attacks."""
    return asyncio.run(watch(stage, _ALONE_S, _PATIENCE_S, "alone"))


@pytest.mark.parametrize("kind", _SHORT)
def test_neighbour_is_served_as_before_when_another_project_attacks(
    stage: Stage, alone: Seen, kind: str
) -> None:
    beside = _attacked(stage, kind, "first")
    if not _is_as_quick(beside, alone):  # once more: others may have begun to work on the machine
        alone = asyncio.run(watch(stage, _ALONE_S, _PATIENCE_S, f"alone-{kind}"))
        beside = _attacked(stage, kind, "second")
    assert _is_as_quick(beside, alone), f"alone {alone}, beside {beside}"


def _attacked(stage: Stage, kind: str, phase: str) -> Seen:
    """What B sees beside an attack; fails where B is refused or a service takes too much memory."""
    seen = asyncio.run(_watched(stage, kind, f"{kind}-{phase}"))
    assert not seen.refusals
    assert seen.unseen == 0
    peaks = peaks_mib(stage.pids())
    assert {name: peaks[name] for name, limit in limits_mib().items() if peaks[name] > limit} == {}
    stage.stack.wait_until_counted(_PATIENCE_S)
    return seen


async def _watched(stage: Stage, kind: str, phase: str) -> Seen:
    target = replace(stage.target(_BESIDE_S), keys=stage.keys_of_a[: KINDS[kind].keys])
    attacker = await asyncio.to_thread(Attacker, kind, target)
    try:
        seen = await watch(stage, _BESIDE_S, _PATIENCE_S, phase)
        await asyncio.to_thread(attacker.report)  # fails where it could not attack
        return seen
    finally:
        attacker.kill()


def _is_as_quick(beside: Seen, alone: Seen) -> bool:
    """Whether the slowest answers to B are no slower than they may be."""
    pairs = ((beside.written_s, alone.written_s), (beside.read_s, alone.read_s))
    return all(max(one) <= _bound_s(other) for one, other in pairs)


def _bound_s(alone_s: Sequence[float]) -> float:
    return max(_FLOOR_S, _MOST_TIMES * max(alone_s))
