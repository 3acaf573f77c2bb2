"""The committed documents for other programs are what the code says now."""

import json

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from deploy.documents import FOLDER, documents, text_of
from tests.golden_events import read_examples

_DOCUMENTS = documents()


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_file_is_what_the_code_says_when_make_documents_was_run(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == text_of(_DOCUMENTS[name]), "run `make documents`"


def test_no_file_is_left_over_when_a_document_is_gone() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == set(_DOCUMENTS)


@pytest.mark.parametrize(("name", "side"), [("event", "sent"), ("line", "line")])
def test_schema_takes_every_golden_event_when_read_from_its_file(name: str, side: str) -> None:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    for example in read_examples("valid"):
        Draft202012Validator(schema).validate(getattr(example, side))
