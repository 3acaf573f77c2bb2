"""The dashboard for readers adds up over days nothing but what may be added (docs/reading.md)."""

import json
import re
from typing import Any

import pytest

from deploy.documents import DASHBOARDS
from services.query.questions import Category

Json = dict[str, Any]

_PANELS: dict[str, Json] = {
    next(
        one["value"]
        for one in panel["targets"][0]["url_options"]["params"]
        if one["key"] == "category"
    ): panel
    for panel in json.loads((DASHBOARDS / "analytics.json").read_text("utf-8"))["panels"]
    if panel["type"] != "row"
}
# One conversation is in the numbers of each of its days; means of days have no sum and no mean.
_NOT_ADDED = {Category.CONVERSATION, Category.LANGUAGE, Category.SESSION}
_MEANS = {Category.CONVERSATION: "avg_messages", Category.SESSION: "avg_duration"}


def _calculations(panel: Json) -> set[str]:
    """All that a panel makes of the numbers of several days."""
    options = panel["options"]
    made = {*options["legend"].get("calcs", ())} if "legend" in options else set()
    made |= {*options.get("reduceOptions", {}).get("calcs", ())}
    for one in panel["transformations"]:
        if one["id"] not in ("sortBy", "partitionByValues"):
            made |= set(re.findall(r'"aggregations": \["(\w+)"\]', json.dumps(one)))
    return made


def test_every_category_has_its_panel() -> None:
    assert set(_PANELS) == set(Category)


@pytest.mark.parametrize("category", sorted(_NOT_ADDED))
def test_days_are_shown_one_by_one_where_they_must_not_be_added_up(category: str) -> None:
    panel = _PANELS[category]
    assert panel["type"] == "timeseries"
    assert _calculations(panel) == set()


@pytest.mark.parametrize("category", sorted(set(Category) - _NOT_ADDED))
def test_sum_over_days_is_told_where_each_event_is_in_one_day(category: str) -> None:
    assert "sum" in _calculations(_PANELS[category])


@pytest.mark.parametrize("category", sorted(_MEANS))
def test_mean_is_a_line_of_its_own_and_in_no_stack(category: Category) -> None:
    (override,) = _PANELS[category]["fieldConfig"]["overrides"]
    matcher = override["matcher"]
    pattern = re.compile(matcher["options"].strip("/"))
    mean = _MEANS[category]

    assert matcher["id"] == "byRegexp"
    assert all(pattern.search(key) for key in (mean, f"{mean} (test)"))
    assert not any(pattern.search(key) for key in ("total", "total (test)", f"x{mean}"))
    properties = {one["id"]: one["value"] for one in override["properties"]}
    assert properties["custom.stacking"] == {"mode": "none"}
    assert properties["custom.drawStyle"] == "line"
    assert properties["custom.axisPlacement"] == "right"


def test_no_other_panel_holds_a_mean() -> None:
    with_overrides = {name for name, panel in _PANELS.items() if panel["fieldConfig"]["overrides"]}
    assert with_overrides == set(_MEANS)


@pytest.mark.parametrize("category", sorted(Category))
def test_test_traffic_is_a_series_of_its_own(category: str) -> None:
    rows = _PANELS[category]["targets"][0]["root_selector"]
    assert '(isLive ? "" : " (test)")' in rows


def test_sources_are_told_apart_when_they_have_one_name() -> None:
    rows = _PANELS[Category.SOURCE]["targets"][0]["root_selector"]
    assert 'key : $name & " · " & key' in rows
