"""The golden day over HTTP: sent to ingest, asked back from query in every way there is."""

import json
from itertools import chain
from typing import Any

import pytest

from tests.e2e.golden import DEVICES, read_golden_day
from tests.e2e.model import CATEGORIES, Row
from tests.e2e.stack import Project, Stack

pytestmark = pytest.mark.e2e

GOLDEN_DAY = read_golden_day()
RANGE = {"from": str(GOLDEN_DAY.first_day), "to": str(GOLDEN_DAY.last_day)}

Projects = dict[str, Project]


@pytest.fixture(scope="module")
def projects(stack: Stack) -> Projects:
    """The projects of the golden day, by the names in its files, with all events counted."""
    projects = GOLDEN_DAY.send(stack)
    stack.wait_until_counted()
    return projects


def test_each_event_is_one_row_when_some_were_sent_twice(stack: Stack, projects: Projects) -> None:
    rows = {name: stack.rows_of(project) for name, project in projects.items()}

    assert rows == GOLDEN_DAY.counted


def _ask(stack: Stack, project: Project, **parameters: str | None) -> Any:
    return stack.analytics(project, **RANGE, **parameters)


def _expected(
    project: str, device: str | None, live: str | None, category: str | None
) -> list[Row]:
    return [
        row
        for row in GOLDEN_DAY.answers[project, device]
        if (row["isLive"] or live == "false") and category in (None, row["category"])
    ]


def _names(project: str, rows: list[Row], *, live_only: bool) -> list[dict[str, str]]:
    ids = sorted({row["key"] for row in rows if row["category"] == "source"})
    names = GOLDEN_DAY.source_names[project, live_only]
    return [{"id": source_id, "name": names[source_id]} for source_id in ids]


@pytest.mark.parametrize("category", [None, *CATEGORIES])
@pytest.mark.parametrize("live", [None, "true", "false"])
@pytest.mark.parametrize("device", DEVICES)
def test_answer_is_the_one_by_hand_when_the_golden_day_was_sent(
    stack: Stack, projects: Projects, device: str | None, live: str | None, category: str | None
) -> None:
    answer = _ask(stack, projects["museum"], category=category, live=live, deviceId=device)

    rows = _expected("museum", device, live, category)
    assert answer == {
        "projectId": projects["museum"].id,
        "range": RANGE,
        "category": category or "all",
        "liveOnly": live != "false",
        "stats": rows,
        "sources": _names("museum", rows, live_only=live != "false"),
    }


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("live", ["true", "false"])
def test_answer_holds_the_own_project_only_when_another_has_the_same_ids(
    stack: Stack, projects: Projects, live: str, device: str | None
) -> None:
    answer = _ask(stack, projects["zoo"], live=live, deviceId=device)

    assert answer["stats"] == _expected("zoo", device, live, None)
    assert answer["sources"] == []


@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 1), (0, 1), (2, 2)])
def test_answer_holds_the_days_of_the_range_only_when_it_is_short(
    stack: Stack, projects: Projects, first: int, last: int
) -> None:
    days = sorted({row["date"] for row in GOLDEN_DAY.answers["museum", None]})
    answer = stack.analytics(projects["museum"], **{"from": days[first], "to": days[last]})

    assert answer["stats"] == [
        row
        for row in _expected("museum", None, None, None)
        if days[first] <= row["date"] <= days[last]
    ]


def test_answer_is_that_of_the_last_30_days_when_no_range_is_given(
    stack: Stack, projects: Projects
) -> None:
    assert stack.analytics(projects["museum"])["stats"] == _expected("museum", None, None, None)


def test_answer_has_the_shape_of_the_documentation_to_the_letter(
    stack: Stack, projects: Projects
) -> None:
    project = projects["museum"]
    response = stack.http.get(
        stack.analytics_url(project.id),
        params={**RANGE, "category": "usage"},
        headers={"Authorization": f"Bearer {project.live_key}"},
    )

    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    answer = json.loads(response.content, object_pairs_hook=list)
    assert [name for name, _ in answer] == [
        "projectId",
        "range",
        "category",
        "liveOnly",
        "stats",
        "sources",
    ]
    fields = dict(answer)
    assert [name for name, _ in fields["range"]] == ["from", "to"]
    for row in fields["stats"]:
        assert [name for name, _ in row] == ["date", "category", "key", "value", "isLive"]
        assert [type(value) for _, value in row] == [str, str, str, int, bool]


def test_counts_are_integers_and_averages_have_two_decimals_in_all_answers(
    stack: Stack, projects: Projects
) -> None:
    rows = _ask(stack, projects["museum"], live="false")["stats"]

    for row in rows:
        if row["key"] in ("avg_messages", "avg_duration"):
            assert round(row["value"], 2) == row["value"]
        else:
            assert type(row["value"]) is int, row
    assert {row["key"] for row in rows} >= {"avg_messages", "avg_duration"}


def test_sources_have_id_and_name_in_this_order(stack: Stack, projects: Projects) -> None:
    project = projects["museum"]
    response = stack.http.get(
        stack.analytics_url(project.id),
        params={**RANGE, "category": "source"},
        headers={"Authorization": f"Bearer {project.live_key}"},
    )

    sources = dict(json.loads(response.content, object_pairs_hook=list))["sources"]
    assert sources
    assert {tuple(name for name, _ in source) for source in sources} == {("id", "name")}


def test_every_category_has_rows_in_the_golden_day() -> None:
    rows = chain.from_iterable(GOLDEN_DAY.answers.values())

    assert {row["category"] for row in rows} == set(CATEGORIES)
