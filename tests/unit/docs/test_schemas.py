"""The committed files that are written from the code are what it says now."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from deploy.documents import DASHBOARDS, FOLDER, files
from deploy.local.layout import CHECKOUT
from tests.golden_events import read_examples

_FILES = files()


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_file_is_what_the_code_says_when_make_documents_was_run(path: Path) -> None:
    assert path.read_text("utf-8") == _FILES[path], "run `make documents`"


@pytest.mark.parametrize("folder", [FOLDER, DASHBOARDS])
def test_no_file_is_left_over_when_a_document_is_gone(folder: Path) -> None:
    assert set(folder.glob("*.json")) == {path for path in _FILES if path.parent == folder}


@pytest.mark.parametrize(("name", "side"), [("event", "sent"), ("line", "line")])
def test_schema_takes_every_golden_event_when_read_from_its_file(name: str, side: str) -> None:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    for example in read_examples("valid"):
        Draft202012Validator(schema).validate(getattr(example, side))
