"""Golden events, from what a producer sends to the line or the refusal that it becomes."""

import json
from dataclasses import asdict

import pytest

from libs.events.codec import decode_line, encode_event
from libs.events.models import AnyEvent
from services.ingest.batches import prepare_batch
from tests.golden_events import Example, read_examples
from tests.turns import finish
from tests.unit.services.ingest.submissions import submission


def _encode(example: Example) -> bytes:
    return json.dumps(example.sent).encode()


@pytest.mark.parametrize("example", read_examples("valid"), ids=str)
def test_event_becomes_its_line_when_valid(example: Example) -> None:
    batch = finish(
        prepare_batch([_encode(example)], submission(may_be_live=not example.by_test_key))
    )

    assert batch.rejected == []
    assert [asdict(warning) for _, warning in batch.warnings] == example.warnings
    [line] = batch.lines
    assert json.loads(line.json) == example.line
    assert list(json.loads(line.json)) == list(example.line)


@pytest.mark.parametrize("example", read_examples("valid"), ids=str)
def test_line_decodes_to_the_same_event_when_encoded_again(example: Example) -> None:
    event = decode_line(0, json.dumps(example.line).encode())

    assert isinstance(event, AnyEvent)
    assert json.loads(encode_event(event)) == example.line


@pytest.mark.parametrize("example", read_examples("refused"), ids=str)
def test_event_is_refused_when_a_rule_is_broken(example: Example) -> None:
    batch = finish(
        prepare_batch([_encode(example)], submission(may_be_live=not example.by_test_key))
    )

    assert batch.lines == []
    [(index, refusal)] = batch.rejected
    assert index == 0
    assert {"code": refusal.code, "message": refusal.message} == example.refused
