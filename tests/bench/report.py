"""Results for people and for programs: a table on the screen, a picture, JSON."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rich.console import Console
from rich.table import Table

from deploy.local.layout import CHECKOUT
from tests.bench.measure import Result

FOLDER = CHECKOUT / ".local" / "bench"
_PACKAGES = (
    "aiokafka", "chdb", "clickhouse-connect", "fastapi", "faust-streaming", "msgspec", "numpy",
    "uvicorn", "uvloop",
)  # fmt: skip
# Pixels: a bar that is just the goal, the distance of the rows. A bar is 1.5 goals long at most.
_BAR, _LINE = 260, 22
_LONGEST_BAR = 1.5
_CHARACTER = 7.5  # of monospace at 12 pixels: 0.6 em, and a little more


def machine() -> dict[str, Any]:
    """What it ran on."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """All of it, the raw rounds too."""
    return {
        "machine": machine(),
        "parts": [
            {
                "name": result.name,
                "value": result.value,
                "unit": result.unit,
                "goal": None if result.goal is None else str(result.goal),
                "met": result.is_met,
                "spread": list(result.spread),
                "ratio": result.is_ratio,
                "note": result.note,
                "rounds": list(result.rounds),
            }
            for result in results
        ],
    }


def show(results: Sequence[Result]) -> None:
    """The table, for the person at the terminal."""
    table = Table("part", "value", "spread", "goal", "met", "note")
    for result in results:
        least, most = result.spread
        goal = "" if result.goal is None else str(result.goal)
        met = {None: "", True: "yes", False: "NO"}[result.is_met]
        value = f"{_number(result.value)} {result.unit}"
        spread = f"{_number(least)} – {_number(most)}"
        table.add_row(result.name, value, spread, goal, met, result.note)
    Console(width=None if os.isatty(1) else 160).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write(results: Sequence[Result], name: str) -> Path:
    """Write JSON and picture to .local/bench; returns the path of the JSON."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(as_json(results), indent=1) + "\n", "utf-8")
    path.with_suffix(".svg").write_text(picture(results), "utf-8")
    return path


def missed(results: Sequence[Result]) -> list[str]:
    """A sentence for each goal that was missed: by how much, of the bound."""
    return [
        f"{result.name}: {_number(result.value)} {result.unit}, goal {result.goal},"
        f" missed by {result.goal.missed_by(result.value):.1%}"
        for result in results
        if result.goal is not None and not result.is_met
    ]


def verdict(results: Sequence[Result]) -> str:
    """The last lines of a run: which goals were missed, or that none was."""
    found = missed(results)
    return "".join(f"goal missed: {one}\n" for one in found) or "every goal was met\n"


def picture(results: Sequence[Result]) -> str:
    """A bar for each result that has a goal, as a share of the goal; the line is the goal."""
    shown = [(result, result.goal) for result in results if result.goal is not None]
    left = _width_of(result.name for result, _ in shown)
    rows: list[str] = []
    texts: list[str] = []
    for at, (result, goal) in enumerate(shown):
        bound = goal.at_most if goal.at_most is not None else goal.at_least
        width = min(_LONGEST_BAR, result.value / bound if bound else 0) * _BAR
        y = 12 + at * _LINE
        colour = "#3a7d44" if result.is_met else "#c0392b"
        text = f"{_number(result.value)} {result.unit} ({goal})"
        texts.append(text)
        rows.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(result.name)}</text>'
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="15" fill="{colour}"/>'
            f'<text x="{left + _LONGEST_BAR * _BAR + 8:.0f}" y="{y + 12}">{escape(text)}</text>'
        )
    height = 24 + len(shown) * _LINE
    whole = left + _LONGEST_BAR * _BAR + _width_of(texts)
    line = f'<path d="M{left + _BAR} 4V{height - 4}" stroke="#222" stroke-dasharray="3 3"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="{height}"'
        f' font-family="monospace" font-size="12">{"".join(rows)}{line}</svg>\n'
    )


def _width_of(texts: Iterable[str]) -> int:
    """Pixels for the longest of these, with a margin at both ends."""
    return 16 + round(max(map(len, texts), default=0) * _CHARACTER)
