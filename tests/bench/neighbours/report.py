"""The figures for people and for programs: a table, and JSON with what each was made of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.measure import percentile
from tests.bench.neighbours.kinds import KINDS
from tests.bench.neighbours.measuring import Figures
from tests.bench.neighbours.watching import limits_mib
from tests.bench.report import FOLDER, machine

MOST_TIMES = 2.0
FLOOR_S = 1.0
_HEAD = (
    "kind", "write → visible p50, p99 (s)", "×", "read p50, p99 (s)", "×",
    "refused B", "not counted", "ingest MiB", "query MiB", "processor MiB",
    "lag, gone after", "A: accepted/s, refused", "met",
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """A time of B beside A and without: p99 may be twice as long, or a second."""

    alone_s: Sequence[float]
    beside_s: Sequence[float]

    def __str__(self) -> str:
        alone, beside = (
            f"{percentile(times, 0.5):.2f}, {percentile(times, 0.99):.2f}"
            for times in (self.alone_s, self.beside_s)
        )
        return f"{alone} → {beside}"

    @property
    def ratio(self) -> float:
        return percentile(self.beside_s, 0.99) / percentile(self.alone_s, 0.99)

    @property
    def is_met(self) -> bool:
        return self.ratio <= MOST_TIMES or percentile(self.beside_s, 0.99) <= FLOOR_S


def faults_of(figures: Figures) -> list[str]:
    """What of B's rights A has taken, in words; empty where all is well."""
    faults = []
    for name, compared in _times(figures).items():
        if not compared.is_met:
            faults.append(f"{name}: {compared} s, {compared.ratio:.1f} ×")
    if figures.beside.refusals:
        faults.append(f"B was refused: {dict(figures.beside.refusals)}")
    if figures.beside.unseen:
        faults.append(f"{figures.beside.unseen} events were not counted in time")
    for name, limit in limits_mib().items():
        if figures.peaks_mib.get(name, 0) > limit:
            faults.append(f"{name}: {figures.peaks_mib[name]} MiB of {limit}")
    faults += [f"{name} takes a revoked key" for name, s in figures.revoked_s.items() if s is None]
    return faults + figures.troubles


def _times(figures: Figures) -> dict[str, Compared]:
    return {
        "write → visible": Compared(figures.alone.visible_s, figures.beside.visible_s),
        "read": Compared(figures.alone.read_s, figures.beside.read_s),
    }


def table(all_figures: Sequence[Figures]) -> str:
    """In Markdown."""
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    lines += [_line(_cells(figures)) for figures in all_figures]
    limits = ", ".join(f"{name} {limit} MiB" for name, limit in limits_mib().items())
    notes = [f"- `{figures.kind}`: {KINDS[figures.kind].says}" for figures in all_figures]
    faults = [f"- `{one.kind}`: {fault}" for one in all_figures for fault in faults_of(one)]
    return "\n".join([*lines, "", f"Limits of the chart: {limits}.", "", *notes, "", *faults, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(figures: Figures) -> list[str]:
    visible, read = _times(figures).values()
    gone = "never" if figures.lag_gone_s is None else f"{figures.lag_gone_s:.0f} s"
    report = figures.report
    refusals = ", ".join(f"{times} × {word}" for word, times in figures.beside.refusals.items())
    return [
        figures.kind,
        str(visible),
        f"{visible.ratio:.1f}",
        str(read),
        f"{read.ratio:.1f}",
        refusals or "–",
        str(figures.beside.unseen or "–"),
        *(f"{figures.peaks_mib.get(name, 0):.0f}" for name in ("ingest", "query", "processor")),
        f"{figures.lag_records:.0f}, {gone}",
        "?" if report is None else f"{report.accepted_per_s:,.0f}, {report.refused}",
        "no" if faults_of(figures) else "yes",
    ]


def write(all_figures: Sequence[Figures]) -> Path:
    """Write `.local/bench/neighbours.json` and `.md`; returns the path of the table."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "neighbours.md"
    path.write_text(table(all_figures), "utf-8")
    whole = {"machine": machine(), "kinds": [_as_json(figures) for figures in all_figures]}
    path.with_suffix(".json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    return path


def _as_json(figures: Figures) -> dict[str, Any]:
    known: dict[str, Any] = msgspec.to_builtins(figures)
    return known | {"faults": faults_of(figures), "limits_mib": limits_mib()}
