"""What is told about a field of an event, in each place that tells it.

The fields are read off the structs. A test that fails says which field lacks what, and where.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from deploy.local.layout import CHECKOUT
from libs.events.codec import decode_line
from libs.events.models import EVENT_TYPES, AnyEvent
from services.ingest.batches import Batch, prepare_batch
from services.ingest.fields import Field, declared
from services.ingest.incoming import AnyIncoming
from services.ingest.openapi import document
from services.ingest.schemas import event_schema
from services.ingest.verdicts import RULES, _usual_fault, warning
from tests.golden_events import Example, read_examples
from tests.turns import finish
from tests.unit.services.ingest.submissions import submission

FIELDS = declared()
PATHS = ["type", *FIELDS]
# Of an element of an array docs/api.md tells in the row of the array.
ROWS = [
    path for path in PATHS if "[]" not in path and not any(p.startswith(f"{path}.") for p in PATHS)
]
# Fields that end in ingest: what is kept of them has another name.
KEPT_AS = {"live": "is_live", "context": "country"}
WRONG: list[Any] = [None, True, 7, 7.5, [], {}, [7], [[]], {"a": 1}]

_ROW = re.compile(r"^\| `([\w.]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


@cache
def rows_of_the_page() -> dict[str, tuple[str, str]]:
    """Of which types a field is, and its rule, by its path; from the table of docs/api.md."""
    page = (CHECKOUT / "docs" / "api.md").read_text("utf-8")
    table = page.split("\n### Fields\n")[1].split("\n### ")[0]
    return {path: (types, rule) for path, types, rule in _ROW.findall(table)}


@cache
def example_with(path: str) -> Example:
    """A golden event that is accepted without a warning and has a value at this path."""
    examples = [one for one in read_examples("valid") if not one.warnings]
    found = [one for one in examples if values_at(one.sent, path)]
    assert found, f"no example in libs/events/examples/valid has `{path}`"
    return found[0]


def steps_of(path: str) -> list[str]:
    """`sources[].id` as the names `sources`, `[]`, `id`."""
    return path.replace("[]", ".[]").split(".")


def values_at(value: Any, path: str) -> list[Any]:
    """What stands at a path, but for null; of an array all elements are looked at."""
    found = [value]
    for step in steps_of(path):
        if step == "[]":
            found = [element for array in found for element in array]
        else:
            found = [one[step] for one in found if one.get(step) is not None]
    return found


def with_value(event: Any, path: str, value: object) -> Any:
    """A copy of an event with this value at the path; in an array it is the first element's."""
    event = json.loads(json.dumps(event))
    at = event
    *way, last = [0 if step == "[]" else step for step in steps_of(path)]
    for step in way:
        at = at[step]
    at[last] = value
    return event


def verdict_on(event: object) -> Batch:
    return finish(prepare_batch([msgspec.json.encode(event)], submission()))


def schemas() -> dict[str, dict[str, Any]]:
    """The two schemas of an event, by the file for which they are made."""
    event, schemas = event_schema("#/$defs/{name}")
    of_openapi = document("/events")["components"]
    return {
        "docs/schemas/event.schema.json": event | {"$defs": schemas},
        "docs/schemas/ingest.openapi.json": {"components": of_openapi}
        | of_openapi["schemas"]["Event"],
    }


@pytest.mark.parametrize("path", PATHS)
def test_field_has_a_rule_for_people(path: str) -> None:
    assert path in RULES, f"`{path}` lacks its text in RULES of services/ingest/verdicts.py"


def test_no_rule_is_left_when_its_field_is_gone() -> None:
    gone = RULES.keys() - set(PATHS)
    assert not gone, f"RULES of services/ingest/verdicts.py has {gone}, which no struct has"


@pytest.mark.parametrize("path", ROWS)
def test_field_has_a_row_in_the_page(path: str) -> None:
    rows = rows_of_the_page()
    assert path in rows, f"`{path}` lacks a row in the table *Fields* of docs/api.md"
    types, rule = rows[path]
    field = FIELDS.get(path, Field("type", is_required=True, types=frozenset(EVENT_TYPES)))
    patterns = ["*"] if types == "all" else re.findall(r"`(.+?)`", types)
    told = {type_ for type_ in EVENT_TYPES if any(fnmatch(type_, one) for one in patterns)}
    assert told == field.types, f"`{path}` in docs/api.md: it is of {sorted(field.types)}"
    is_told = rule.startswith("required")
    assert is_told == field.is_required, f"`{path}` in docs/api.md: required or not"


@pytest.mark.parametrize("path", [path for path in FIELDS if "[]." in path])
def test_field_of_an_element_is_named_in_the_row_of_its_array(path: str) -> None:
    array, _, name = path.partition("[].")
    assert f'"{name}"' in rows_of_the_page()[array][1], f"`{path}` is not named in docs/api.md"


def test_no_row_is_left_in_the_page_when_its_field_is_gone() -> None:
    gone = rows_of_the_page().keys() - set(ROWS)
    assert not gone, f"the table *Fields* of docs/api.md has {gone}, which no struct has"


@pytest.mark.parametrize("path", PATHS)
def test_field_is_in_an_example(path: str) -> None:
    assert example_with(path).line


def test_field_is_kept_in_the_line() -> None:
    kept = {
        type_.__struct_config__.tag: set(type_.__struct_fields__) for type_ in get_args(AnyEvent)
    }
    for type_ in get_args(AnyIncoming):
        tag = type_.__struct_config__.tag
        names = {KEPT_AS.get(name, name) for name in type_.__struct_fields__}
        lost = names - kept[tag]
        assert not lost, f"{tag} in libs/events/models.py lacks {lost}: ingest would lose it"


@pytest.fixture
def without_texts() -> Iterator[None]:
    """No text of a verdict is remembered, neither before nor afterwards."""
    for remembered in (_usual_fault, warning):
        remembered.cache_clear()
    yield
    for remembered in (_usual_fault, warning):
        remembered.cache_clear()


@pytest.mark.usefixtures("without_texts")
@pytest.mark.parametrize("path", PATHS)
def test_request_is_answered_when_the_rule_of_a_field_was_forgotten(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(RULES, path, raising=False)
    event = example_with(path).sent
    for value in WRONG:
        batch = verdict_on(with_value(event, path, value))
        assert len(batch.lines) + len(batch.rejected) == 1


@pytest.mark.parametrize("file", schemas())
@pytest.mark.parametrize("path", PATHS)
def test_schema_takes_what_the_decoder_takes(path: str, file: str) -> None:
    validator = Draft202012Validator(schemas()[file])
    for value in WRONG:
        event = with_value(example_with(path).sent, path, value)
        is_taken = not verdict_on(event).rejected
        assert validator.is_valid(event) == is_taken, (
            f"`{path}`: {value!r} is {'taken' if is_taken else 'refused'}, and {file} says"
            " otherwise: see services/ingest/schemas.py"
        )


_any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def events(draw: st.DrawFn) -> Any:
    """An example, with any values in one to three of the declared fields, perhaps without some."""
    path = draw(st.sampled_from(PATHS))
    event = example_with(path).sent
    for one in [path, *draw(st.lists(st.sampled_from(PATHS), max_size=2))]:
        with suppress(KeyError, IndexError, TypeError):  # it has no such array or object
            event = with_value(event, one, draw(_any | st.sampled_from(WRONG)))
    absent = draw(st.sets(st.sampled_from(PATHS), max_size=2))
    return {name: value for name, value in event.items() if name not in absent}


@given(events())
def test_event_becomes_a_line_or_a_refusal_whatever_its_fields_hold(event: Any) -> None:
    batch = verdict_on(event)

    assert len(batch.lines) + len(batch.rejected) == 1
    assert all(isinstance(decode_line(0, line.json), AnyEvent) for line in batch.lines)
    assert all(refusal.message for _, refusal in batch.rejected)
