"""The statements that answer a question: a file of `sql/` and its typed parameters. Pure."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from services.query.questions import Category, Question

_SQL = Path(__file__).parent / "sql"
COUNTS_OF_PROJECT = (_SQL / "counts_of_project.sql").read_text("utf-8")
COUNTS_OF_DEVICE = (_SQL / "counts_of_device.sql").read_text("utf-8")
SOURCE_NAMES = (_SQL / "source_names.sql").read_text("utf-8")

# The days that ClickHouse's type Date can hold; there are no events beyond them.
_FIRST_DATE, _LAST_DATE = date(1970, 1, 1), date(2149, 6, 6)

Parameter = str | date | list[str] | list[bool]


@dataclass(frozen=True, slots=True)
class Statement:
    """A text without any value in it, and the values by name."""

    sql: str
    parameters: dict[str, Parameter]


def counts(question: Question) -> Statement:
    """Rows of (date, category, key, is_live, total)."""
    parameters = _parameters(question) | {"categories": _categories(question.category)}
    if question.device_id is None:
        return Statement(COUNTS_OF_PROJECT, parameters)
    return Statement(COUNTS_OF_DEVICE, parameters | {"device_id": question.device_id})


def source_names(question: Question) -> Statement:
    """Rows of (id, name), of at least the sources that the answer shows and that have a name."""
    return Statement(SOURCE_NAMES, _parameters(question))


def _parameters(question: Question) -> dict[str, Parameter]:
    return {
        "project_id": question.project_id,
        "modes": [True] if question.live_only else [True, False],
        "first_day": min(max(question.first_day, _FIRST_DATE), _LAST_DATE),
        "last_day": min(max(question.last_day, _FIRST_DATE), _LAST_DATE),
    }


def _categories(category: Category | None) -> list[str]:
    return [one.value for one in Category] if category is None else [category.value]
