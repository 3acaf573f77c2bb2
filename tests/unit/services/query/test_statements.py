"""The texts of the statements, without a server."""

import re
from datetime import date
from pathlib import Path

import pytest

import services.query.statements
from services.query.questions import Category, Question
from services.query.statements import (
    COUNTS_OF_DEVICE,
    COUNTS_OF_PROJECT,
    SOURCE_NAMES,
    Statement,
    counts,
    source_names,
)

QUESTION = Question(
    "museum", date(2026, 3, 1), date(2026, 3, 25), None, live_only=True, device_id=None
)
FILES = sorted((Path(services.query.statements.__file__).parent / "sql").glob("*.sql"))


def variant(**fields: object) -> Question:
    values = {name: getattr(QUESTION, name) for name in Question.__slots__}
    return Question(**(values | fields))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_statement_filters_by_project_wherever_it_reads(file: Path) -> None:
    lines = file.read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    assert text.count("WHERE project_id = {project_id:String}") == text.count("FROM") > 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_statement_tells_its_question_first(file: Path) -> None:
    assert "?" in file.read_text("utf-8").splitlines()[0]


@pytest.mark.parametrize(
    "statement",
    [counts(QUESTION), counts(variant(device_id="kiosk")), source_names(QUESTION)],
    ids=["project", "device", "source names"],
)
def test_statement_is_given_exactly_its_parameters(statement: Statement) -> None:
    assert set(re.findall(r"\{(\w+):", statement.sql)) == set(statement.parameters)


def test_statement_reads_rollup_when_no_device_is_given() -> None:
    statement = counts(variant(category=Category.RAG, live_only=False))
    assert statement.sql is COUNTS_OF_PROJECT
    assert statement.parameters == {
        "project_id": "museum",
        "modes": [True, False],
        "categories": ["rag"],
        "first_day": date(2026, 3, 1),
        "last_day": date(2026, 3, 25),
    }


def test_statement_reads_raw_events_when_device_is_given() -> None:
    statement = counts(variant(device_id="lobby'; DROP TABLE events"))
    assert statement.sql is COUNTS_OF_DEVICE
    assert statement.parameters["device_id"] == "lobby'; DROP TABLE events"
    assert statement.parameters["categories"] == list(Category)


def test_statement_of_names_is_fixed_text_when_question_changes() -> None:
    assert source_names(variant(project_id="{x}")).sql is SOURCE_NAMES


def test_days_are_those_a_date_can_hold_when_range_is_wider() -> None:
    statement = counts(variant(first_day=date.min, last_day=date.max))
    assert statement.parameters["first_day"] == date(1970, 1, 1)
    assert statement.parameters["last_day"] == date(2149, 6, 6)
