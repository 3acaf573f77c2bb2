"""The parts that dashboards are made of, in Grafana's JSON model.

What is not said here Grafana fills in with its own defaults.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_WIDTH = 24  # of a dashboard, in Grafana's columns


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture. `about` is what somebody reads who wonders whether it looks right."""

    title: str
    about: str
    kind: str
    targets: Sequence[Json]
    unit: str = "short"
    width: int = 8
    height: int = 7
    options: Json = field(default_factory=dict)
    look: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A heading, and the panels below it."""

    title: str
    panels: Sequence[Panel]


def dashboard(uid: str, title: str, about: str, rows: Sequence[Row], **more: object) -> Json:
    """A whole dashboard, its panels laid out row by row."""
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["ragtime"],
        "schemaVersion": 39,
        "editable": False,
        "timezone": "utc",
        "graphTooltip": 1,
        "annotations": {"list": []},
        "panels": _laid_out(rows),
        **more,
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    placed: list[Json] = []
    y = 0
    for row in rows:
        grid = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
        placed.append(
            {"id": len(placed) + 1, "type": "row", "title": row.title, "gridPos": grid}
            | {"collapsed": False, "panels": []}
        )
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > _WIDTH:
                x, y, height = 0, y + height, 0
            grid = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            placed.append({"id": len(placed) + 1, "gridPos": grid} | _json_of(panel))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed


def _json_of(panel: Panel) -> Json:
    shown: Json = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": panel.targets[0]["datasource"],
        "targets": list(panel.targets),
        "fieldConfig": {
            "defaults": {"unit": panel.unit} | panel.look,
            "overrides": list(panel.overrides),
        },
        "options": panel.options,
    }
    if panel.transformations:
        shown["transformations"] = list(panel.transformations)
    return shown


def thresholds(steps: Mapping[float | None, str]) -> Json:
    """Colours by value: each from its bound on; None is the lowest."""
    listed = [{"value": bound, "color": colour} for bound, colour in steps.items()]
    return {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": listed}}


def legend(*calculations: str) -> Json:
    """A legend below; a table where it calculates something."""
    mode = "table" if calculations else "list"
    return {
        "legend": {"displayMode": mode, "placement": "bottom", "calcs": list(calculations)},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
