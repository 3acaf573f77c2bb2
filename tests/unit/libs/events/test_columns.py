"""A field of a line is a column of the table `events` of the same name, with the same default.

ClickHouse skips a field that is no column, and a line leaves out a field at its default: so both
would be lost without a word.
"""

import re
from typing import get_args

import pytest
from msgspec import NODEFAULT, structs

from libs.clickhouse import schema
from libs.events.models import AnyEvent

_TABLE = re.compile(r"^CREATE TABLE events\n\(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^ {4}`(\w+)` (.+)$", re.MULTILINE)
_DEFAULT = re.compile(r" DEFAULT '(\w*)'")

FIELDS = {field.name: field for type_ in get_args(AnyEvent) for field in structs.fields(type_)}


def columns() -> dict[str, str]:
    """What stands behind the name of each column."""
    (table,) = _TABLE.findall(schema.SCHEMA.read_text("utf-8"))
    return dict(_COLUMN.findall(table))


@pytest.mark.parametrize("name", FIELDS)
def test_field_of_a_line_is_a_column(name: str) -> None:
    assert name in columns(), (
        f"`{name}` of libs/events/models.py is no column of `events` in libs/clickhouse/schema.sql:"
        " add a migration, then `make schema`"
    )


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if not field.required])
def test_field_and_column_have_the_same_default(name: str) -> None:
    default = FIELDS[name].default
    assert default is not NODEFAULT, f"`{name}`: a default of its own each time is not looked at"
    given = _DEFAULT.search(columns().get(name, ""))
    assert (given[1] if given else "") == (default or ""), (
        f"`{name}` is {default!r} in libs/events/models.py where a line leaves it out, and not in"
        " libs/clickhouse/schema.sql"
    )
