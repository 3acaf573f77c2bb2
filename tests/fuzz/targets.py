"""What takes bytes from strangers, each as a function that fails on anything but a verdict.

A target gets any bytes at all. It returns when the code gave one of the verdicts that it may give.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import date

import msgspec
from starlette.datastructures import QueryParams

from libs.access.api_keys import is_well_formed
from libs.access.authentication import bearer_token
from libs.access.client_address import parse_address
from libs.events.codec import InvalidLine, decode_line, decode_record, encode_event
from libs.events.record_index import ENTRY_BYTES, entries_of
from libs.http.problems import Problem
from services.ingest.batches import Batch, prepare_batch
from services.ingest.bodies import (
    Compression,
    MediaType,
    Received,
    decompress,
    split_events,
)
from services.query.questions import parse_question
from tests.golden_events import read_examples
from tests.turns import finish
from tests.unit.services.ingest.submissions import submission

_MAX_BYTES = 64 * 1024
_MAX_EVENTS = 100
_TODAY = date(2026, 3, 25)
_SUBMISSION = submission()


def decoder(data: bytes) -> None:
    """A record of the topic: each line is an event, which stays the same, or has a reason."""
    for number, outcome in decode_record(data):
        if isinstance(outcome, InvalidLine):
            assert outcome.line == data.split(b"\n")[number]
            assert outcome.reason
        else:
            assert decode_line(number, encode_event(outcome)) == outcome


def body(data: bytes) -> None:
    """A request's body: lines that the processor takes and rejections, or one problem."""
    media_type = [*MediaType][data[0] % 2] if data else MediaType.JSON
    compression = [*Compression][data[1] % 3] if len(data) > 1 else Compression.NONE
    try:
        plain = finish(decompress(data[2:], compression, _MAX_BYTES, Received()))
        events = finish(split_events(plain, media_type, _MAX_EVENTS))
    except Problem as problem:
        _is_refusal(problem, 400, 413)
        return
    _check(finish(prepare_batch(events, _SUBMISSION)), len(events))


def _is_refusal(problem: Problem, *statuses: int) -> None:
    assert problem.status in statuses


def _check(batch: Batch, events: int) -> None:
    assert len(batch.lines) + len(batch.rejected) == events
    for line in batch.lines:
        assert not isinstance(decode_line(0, line.json), InvalidLine)
        assert b"\n" not in line.json
    for _, refusal in batch.rejected:
        msgspec.json.encode(refusal.message)


def query(data: bytes) -> None:
    """A query string: a question within its bounds, or a problem with status 400."""
    parameters = QueryParams(data.decode("latin-1")).multi_items()
    try:
        question = parse_question("museum", parameters, _TODAY)
    except Problem as problem:
        _is_refusal(problem, 400)
    else:
        assert question.first_day <= question.last_day
        assert question.device_id is None or 1 <= len(question.device_id) <= 128


def index(data: bytes) -> None:
    """An index beside a value: entries for each line, or none."""
    value, _, beside = data.partition(b"\0")
    entries = entries_of(value, beside)
    assert entries is None or len(entries) == ENTRY_BYTES * (value.count(b"\n") + 1)


def headers(data: bytes) -> None:
    """Headers: a token without blanks, an address, or nothing."""
    text = data.decode("latin-1")
    token = bearer_token([text])
    assert token is None or (token.isascii() and not any(map(str.isspace, token)))
    is_well_formed(text)
    with suppress(TypeError):  # no address has no text
        str(parse_address(text))


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (decoder, body, query, index, headers)
}


def seeds() -> dict[str, list[bytes]]:
    """Where a search begins, by target: what is right, and what is nearly so."""
    examples = [*read_examples("valid"), *read_examples("refused")]
    sent = [msgspec.json.encode(example.sent) for example in examples]
    return {
        "decoder": [msgspec.json.encode(example.line) for example in examples if example.line],
        "body": [b"\0\0" + one for one in sent] + [b"\1\0" + b"\n".join(sent)],
        "query": [b"from=2026-03-01&to=2026-03-25&category=usage&live=False&deviceId=kiosk%20%f0"],
        "index": [b'{"a": 1}\n\0' + bytes(8 + 2 * ENTRY_BYTES)],
        "headers": [b"Bearer rt_live_" + b"a" * 49, b"[2001:db8::1%eth0]:80", b"::ffff:1.2.3.4:5"],
    }
