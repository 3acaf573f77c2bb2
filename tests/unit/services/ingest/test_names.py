"""Names that are nearly ours are refused with the right one; other unknown names are ignored."""

import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.reasons import RejectCode
from services.ingest.batches import Batch, prepare_batch
from tests.turns import finish
from tests.unit.services.ingest.submissions import submission

_START = {"type": "session.started", "sessionId": "ses-1"}
_EVENT_NAMES = [
    *("id", "type", "occurredAt", "sessionId", "conversationId", "userType", "deviceId", "live"),
    *("language", "context", "role", "action", "hit", "sources", "durationMs"),
]
_CONTEXT_NAMES = ["ip", "userAgent", "country", "deviceType"]
_SOURCE_NAMES = ["id", "name"]
_LEVELS = [
    *(("", name) for name in _EVENT_NAMES),
    *(("context.", name) for name in _CONTEXT_NAMES),
    *(("sources[1].", name) for name in _SOURCE_NAMES),
]


def _event(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    if path == "context.":
        return _START | {"context": fields}
    if path:
        retrieval = {"type": "rag.retrieval", "sessionId": "s", "conversationId": "c", "hit": True}
        return retrieval | {"sources": [{"id": "a"}, {"id": "b"} | fields]}
    return _START | fields


def _prepare(*events: dict[str, Any] | str) -> Batch:
    raw = [one if isinstance(one, str) else json.dumps(one) for one in events]
    return finish(prepare_batch([one.encode() for one in raw], submission()))


@st.composite
def near_misses(draw: st.DrawFn, name: str) -> str:
    """The name in any letter case, with `_` and `-` anywhere: never the name itself."""
    letters = [draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name]
    before = st.text("_-", max_size=2)
    miss = "".join(draw(before) + letter for letter in letters) + draw(before)
    return miss if miss != name else f"_{name}"


@pytest.mark.parametrize(("path", "name"), _LEVELS)
@given(data=st.data())
def test_near_miss_is_refused_with_the_right_name(
    path: str, name: str, data: st.DataObject
) -> None:
    miss = data.draw(near_misses(name))
    value: Any = data.draw(st.sampled_from([None, True, "x", 5, {"a": 1}, []]))

    batch = _prepare(_event(path, {"foo": 1, miss: value, "bar": 2}))

    [(_, refusal)] = batch.rejected
    assert refusal.code is RejectCode.UNKNOWN_FIELD
    assert refusal.message == f"`{path}{miss}` is not known here: the name is `{path}{name}`"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        *(("isLive", "live"), ("is_live", "live"), ("eventId", "id"), ("event_id", "id")),
        *(("timestamp", "occurredAt"), ("Timestamp", "occurredAt")),
    ],
)
def test_other_word_for_a_field_is_refused_with_the_right_name(name: str, right: str) -> None:
    [(_, refusal)] = _prepare(_START | {name: "2026-03-25T09:30:00Z"}).rejected

    assert refusal.message == f"`{name}` is not known here: the name is `{right}`"


@pytest.mark.parametrize("first", _EVENT_NAMES[1:4])
def test_near_miss_is_named_when_the_right_field_is_missing(first: str) -> None:
    event: dict[str, Any] = {
        "type": "chat.message",
        "sessionId": "s",
        "conversationId": "c",
        "role": "user",
    }
    value = event.pop(first, "2026-03-25T09:30:00Z")

    [(_, refusal)] = _prepare({first.upper(): value} | event).rejected

    assert f"the name is `{first}`" in refusal.message


@pytest.mark.parametrize(
    "event",
    [
        _START | {"metadata": {"session_id": 1, "timestamp": 2, "Sources": []}},
        _START | {"context": {"browser": 1, "session_id": 2, "isLive": False}},
        _START | {"text": 'x "occurred_at": 1', "role": "none", "sources": 7},
        _START | {"user": "type", "occurred at": 1, "occurredAtt": 1, "session.id": 1, "": 1},
        _event("sources[1].", {"Title": 1, "timestamp": 1, "sourceId": {"Id": 1}}),
    ],
)
def test_unknown_field_is_ignored_when_it_is_not_nearly_ours(event: dict[str, Any]) -> None:
    assert _prepare(event, event).rejected == []


def test_near_miss_is_refused_whatever_stood_in_the_events_before() -> None:
    kinds: list[dict[str, Any]] = [
        _START,
        _START | {"foo": 1},
        _START | {"is_live": False},
        _START | {"session_ID": 1},
    ]
    for before in combinations(kinds, 3):
        batch = _prepare(*before, _START | {"user_type": "logged_in"})
        assert batch.rejected[-1][0] == 3


@pytest.mark.parametrize("name", ["user_type", "ID"])
def test_near_miss_is_refused_when_its_letters_are_escaped(name: str) -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    text = f'{{"type": "session.started", "sessionId": "s", "{escaped}": 1}}'

    assert _prepare(text).rejected[0][1].code is RejectCode.UNKNOWN_FIELD


@pytest.mark.parametrize("where", ["first", "last"])
def test_near_miss_is_refused_when_it_is_very_long(where: str) -> None:
    long = {f"occurred{'_' * 100_000}at": 1}
    event = long | _START if where == "first" else _START | long

    [(_, refusal)] = _prepare(event).rejected

    assert refusal.code is RejectCode.UNKNOWN_FIELD
    assert len(refusal.message) < 200


def test_names_are_told_apart_by_level_when_there_are_very_many() -> None:
    many = {"rows": [{"timestamp": 1, "session_id": 2}] * 20_000}
    event = _START | many | {"context": many}

    assert _prepare(event).rejected == []
    for field in ({"user_type": 1}, {"context": many | {"Country": 1}}):
        [(_, refusal)] = _prepare(event | field).rejected
        assert refusal.code is RejectCode.UNKNOWN_FIELD
