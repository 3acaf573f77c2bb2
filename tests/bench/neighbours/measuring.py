"""One kind of attack: B alone, then beside A, on a stack of its own."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.neighbours.attacker import Attacker
from tests.bench.neighbours.kinds import KINDS
from tests.bench.neighbours.planting import plant, plant_late
from tests.bench.neighbours.revoking import seconds_until_dead
from tests.bench.neighbours.stage import Stage, staged
from tests.bench.neighbours.target import Report
from tests.bench.neighbours.victim import Seen, watch
from tests.bench.neighbours.watching import forget_peaks, lag_of, peaks_mib

_WARM_UP_S = 3
_PATIENCE_S = 60.0
_LAG_WITHIN_S = 120.0


@dataclass
class Figures:
    """What a round has measured. `troubles`: what went wrong beside it, in words."""

    kind: str
    alone: Seen
    beside: Seen
    report: Report | None
    peaks_mib: dict[str, float]
    lag_records: float
    lag_gone_s: float | None
    revoked_s: dict[str, float | None]
    troubles: list[str] = field(default_factory=list)


def measure(kind: str, seconds: int) -> Figures:
    """Measure one kind. B may be broken by it, and the stack too: that is a figure like others."""
    troubles: list[str] = []
    figures: Figures | None = None
    with tempfile.TemporaryDirectory(prefix="ragtime-neighbours-") as folder:
        try:
            with staged(Path(folder), KINDS[kind].keys) as stage:
                figures = _measure(stage, kind, seconds, troubles)
        except Exception as error:
            if figures is None:
                raise
            troubles.append(f"the stack did not end well: {_first_line(error)}")
    assert figures is not None
    figures.troubles = troubles
    return figures


def _measure(stage: Stage, kind: str, seconds: int, troubles: list[str]) -> Figures:
    plant(stage, kind)
    asyncio.run(watch(stage, _WARM_UP_S, _PATIENCE_S, "warm"))
    alone = asyncio.run(watch(stage, max(10, seconds // 2), _PATIENCE_S, "alone"))
    forget_peaks(stage.pids())
    plant_late(stage, kind)
    beside, report, lag, gone_s = asyncio.run(_attacked(stage, kind, seconds, troubles))
    figures = Figures(
        kind=kind,
        alone=alone,
        beside=beside,
        report=report,
        peaks_mib=peaks_mib(stage.pids()),
        lag_records=lag,
        lag_gone_s=gone_s,
        revoked_s=seconds_until_dead(stage) if kind == "keys" else {},
    )
    for name, service in stage.stack.services.items():
        if not service.is_running:
            troubles.append(f"{name} has ended")
    return figures


async def _attacked(
    stage: Stage, kind: str, seconds: int, troubles: list[str]
) -> tuple[Seen, Report | None, float, float | None]:
    attacker = await asyncio.to_thread(Attacker, kind, stage.target(seconds))
    try:
        watching = asyncio.create_task(watch(stage, seconds, _PATIENCE_S, "beside"))
        report = await _report(attacker, troubles)
        lag, gone_s = await lag_of(stage, _LAG_WITHIN_S)
        return await watching, report, lag, gone_s
    finally:
        attacker.kill()


async def _report(attacker: Attacker, troubles: list[str]) -> Report | None:
    try:
        return await asyncio.to_thread(attacker.report)
    except Exception as error:  # noqa: BLE001 - whatever became of A, B's figures count
        troubles.append(f"A told nothing: {_first_line(error)}")
        return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
