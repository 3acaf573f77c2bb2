"""Descriptions never reject an event: what cannot be understood is absent or unknown, and told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.models import RagRetrieval
from services.ingest.batches import Batch, prepare_batch
from services.ingest.countries import ASSIGNED
from tests.turns import finish
from tests.unit.services.ingest.submissions import submission

_START = {"type": "session.started", "sessionId": "ses-1"}
_RETRIEVAL = {"type": "rag.retrieval", "sessionId": "s", "conversationId": "c", "hit": True}
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148"
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)
_PLACES = [
    "language",
    "deviceId",
    "context",
    *(f"context.{name}" for name in ("ip", "userAgent", "country", "deviceType")),
]


def _event(place: str, value: object) -> dict[str, Any]:
    outer, _, inner = place.partition(".")
    return _START | {outer: {inner: value} if inner else value}


def _prepare(event: dict[str, Any]) -> Batch:
    caller = submission(address="8.8.8.8", user_agent=_IPHONE)
    return finish(prepare_batch([json.dumps(event).encode()], caller))


def _counted(event: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The line that an event becomes, and the fields that are warned of."""
    batch = _prepare(event)
    assert batch.rejected == []
    for _, warning in batch.warnings:
        assert warning.message.startswith(f"`{warning.field}` must be ")
    [line] = batch.lines
    return json.loads(line.json), [warning.field for _, warning in batch.warnings]


@pytest.mark.parametrize("place", _PLACES)
@given(value=st.text() | _json)
def test_event_counts_whatever_a_description_holds(place: str, value: object) -> None:
    if place == "context" and isinstance(value, dict):
        value = {f"x{name}": inner for name, inner in value.items()}  # no near miss of a name

    line, warned = _counted(_event(place, value))

    assert warned in ([], [place])
    assert line["session_id"] == "ses-1"


@given(name=st.text() | st.text("ab", min_size=500) | _json)
def test_retrieval_counts_whatever_the_name_of_a_source_says(name: object) -> None:
    sources = [{"id": "a", "name": "A", "score": 0.5}, {"id": "b", "name": name}]

    line, warned = _counted(_RETRIEVAL | {"sources": sources})

    is_name = name is None or (isinstance(name, str) and len(name) <= 512)
    assert warned == ([] if is_name else ["sources[1].name"])
    assert [source["id"] for source in line["sources"]] == ["a", "b"]
    assert line["sources"][0] == {"id": "a", "name": "A"}


def test_all_descriptions_are_warned_of_when_all_are_broken() -> None:
    context = {"ip": 1, "userAgent": [], "country": {}, "deviceType": False}
    event = _START | {"language": 5, "deviceId": 7, "context": context, "foo": 1}

    line, warned = _counted(event)

    assert sorted(warned) == sorted([*_PLACES[:2], *_PLACES[3:]])
    assert not {"country", "device_type", "language", "device_id"} & line.keys()


def test_other_rules_hold_when_a_description_is_broken() -> None:
    for broken in ({"userType": "staff"}, {"live": 1}, {"id": "a b"}, {"occurredAt": "now"}):
        for language in (5, "??"):
            batch = _prepare({"language": language} | _START | broken)
            [(_, refusal)] = batch.rejected
            assert f"`{next(iter(broken))}`" in refusal.message
            assert batch.warnings == []


def test_near_miss_is_refused_when_a_description_is_broken() -> None:
    for field in ({"user_type": "public"}, {"context": {"IP": "8.8.8.8"}}):
        [(_, refusal)] = _prepare({"language": 5} | _START | field).rejected
        assert refusal.code == "unknown_field"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        *(("zh-Hant-TW", "zh"), ("ZH", "zh"), ("en_US", "en"), ("de_DE-1996", "de")),
        *(("de-CH,de;q=0.9,en;q=0.8", "de"), ("fr;q=0.7, en", "fr"), (" en-GB ", "en")),
        ("de," + "x" * 100_000, "de"),
        *(("x-klingon", "unknown"), ("X_a", "unknown"), ("unknown", "unknown")),
    ],
)
def test_language_is_the_primary_subtag(text: str, language: str) -> None:
    line, warned = _counted(_event("language", text))

    assert (line.get("language", "unknown"), warned) == (language, [])


@pytest.mark.parametrize(
    "text",
    [
        *("", "e", "de-", "de--AT", "de\n-AT", "d3", "x" * 9, "*", ",de", "plain English", "x"),
        *("x-", "de" + "-abcdefgh" * 8, "ſv", "en_US.UTF-8"),
    ],
)
def test_language_is_unknown_with_a_warning_when_it_is_no_tag(text: str) -> None:
    line, warned = _counted(_event("language", text))

    assert ("language" in line, warned) == (False, ["language"])


@pytest.mark.parametrize("code", [*sorted(ASSIGNED)[::20], "de", "aT"])
def test_country_is_taken_when_it_is_assigned(code: str) -> None:
    line, warned = _counted(_event("context.country", code))

    assert (line["country"], warned) == (code.upper(), [])


@pytest.mark.parametrize(
    "code",
    [
        *("XX", "ZZ", "T1", "EU", "AP", "UK", "xx", "QM", "AA"),
        *("", "D", "DEU", "DE\n", "ſs", "UNKNOWN", "Germany", " DE"),
    ],
)
def test_country_is_unknown_with_a_warning_when_it_is_not_assigned(code: str) -> None:
    event = _START | {"context": {"country": code, "ip": "8.8.8.8"}}

    line, warned = _counted(event)

    assert ("country" in line, warned) == (False, ["context.country"])


def test_country_is_unknown_without_a_warning_when_the_sender_says_so() -> None:
    line, warned = _counted(_event("context.country", "unknown"))

    assert ("country" in line, warned) == (False, [])


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", " 8.8.8.8 ", "8.8.8.8:51234", "[2001:4860:4860::8888]:443"),
        *("[2001:4860:4860::8888]", "2001:4860:4860::8888", "::ffff:8.8.8.8", "[::ffff:8.8.8.8]:1"),
    ],
)
def test_address_is_read_like_an_entry_of_x_forwarded_for(address: str) -> None:
    line, warned = _counted(_event("context.ip", address))

    assert (line["country"], warned) == ("US", [])


@pytest.mark.parametrize(
    "address", ["nowhere", "", "1" * 73, "8.8.8", "8.8.8.8, 9.9.9.9", "unknown"]
)
def test_country_is_not_the_callers_when_the_address_is_none(address: str) -> None:
    line, warned = _counted(_event("context.ip", address))

    assert ("country" in line, warned) == (False, ["context.ip"])


@pytest.mark.parametrize(
    "address", ["2001:0db8:0000:0000:0000:ffff:255.255.255.255", "fe80::1%" + "z" * 56]
)
def test_address_is_taken_when_it_is_long(address: str) -> None:
    line, warned = _counted(_event("context.ip", address))

    assert ("country" in line, warned) == (False, [])


@pytest.mark.parametrize("given_", ["Desktop", "DESKTOP", "desktop"])
def test_device_type_is_taken_in_any_letter_case(given_: str) -> None:
    line, warned = _counted(_event("context.deviceType", given_))

    assert (line["device_type"], warned) == ("desktop", [])


@pytest.mark.parametrize("given_", ["phone", "", "desk top", "deſktop", "desktop" * 10_000])
def test_device_type_is_unknown_with_a_warning_when_it_is_another_word(given_: str) -> None:
    line, warned = _counted(_event("context.deviceType", given_))

    assert ("device_type" in line, warned) == (False, ["context.deviceType"])


@pytest.mark.parametrize("slug", ["", "x" * 129])
def test_device_is_absent_with_a_warning_when_its_slug_breaks_the_rule(slug: str) -> None:
    line, warned = _counted(_event("deviceId", slug))

    assert ("device_id" in line, warned) == (False, ["deviceId"])


@pytest.mark.parametrize("context", [[], "", "none", 5, True])
def test_country_and_device_are_the_callers_when_the_context_is_no_object(context: object) -> None:
    line, warned = _counted(_event("context", context))

    assert (line["country"], line["device_type"], warned) == ("US", "mobile", ["context"])


def test_name_of_a_source_is_absent_with_a_warning_when_it_is_too_long() -> None:
    source = {"id": "a", "name": "n" * 513}

    line, warned = _counted(_RETRIEVAL | {"sources": [source]})

    assert (line["sources"], warned) == ([{"id": "a"}], ["sources[0].name"])


@pytest.mark.parametrize("language", ["de", 5])
@pytest.mark.parametrize("name", [7, {"de": "Führer"}, ["Guide"], True])
def test_name_of_a_source_is_absent_with_a_warning_when_it_is_no_text(
    name: object, language: object
) -> None:
    sources = [{"id": "a", "name": name}, {"id": "b", "name": "B"}, {"id": "c", "name": name}]

    line, warned = _counted(_RETRIEVAL | {"sources": sources, "language": language})

    assert line["sources"] == [{"id": "a"}, {"id": "b", "name": "B"}, {"id": "c"}]
    named = ["sources[0].name", "sources[2].name"]
    assert warned == (named if language == "de" else [*named, "language"])


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (({"id": "a", "name": 7},) * 101, "`sources[0].name` must be"),
        (({"id": "a", "name": 7}, {"id": ""}), "`sources[1].id` must be"),
        (({"id": "a", "name": 7}, {"name": "B"}), "`sources[1].id` is missing"),
        (({"id": "a", "name": 7}, {"id": "b", "Name": "B"}), "`sources[1].Name` is not known"),
    ],
    ids=["too many", "empty id", "no id", "near miss"],
)
def test_sources_are_refused_for_their_other_faults_when_a_name_is_no_text(
    sources: tuple[object, ...], told: str
) -> None:
    batch = _prepare(_RETRIEVAL | {"sources": sources})

    [(_, refusal)] = batch.rejected
    assert refusal.message.startswith(told)
    assert batch.warnings == []


def test_message_counts_when_it_has_sources_that_are_none_and_a_broken_description() -> None:
    message = {"type": "chat.message", "sessionId": "s", "conversationId": "c", "role": "user"}

    no_sources: list[object] = [7, "guide", [7], [{"name": 7}], {}, None]
    for sources in no_sources:
        _, warned = _counted(message | {"sources": sources, "language": 5})
        assert "language" in warned


def test_warnings_bear_the_index_of_their_event() -> None:
    events = [_START, _START | {"language": "?"}, {}, _START | {"deviceId": ""}, _START]
    batch = finish(prepare_batch([json.dumps(one).encode() for one in events], submission()))

    assert [(index, one.field) for index, one in batch.warnings] == [
        (1, "language"),
        (3, "deviceId"),
    ]
    assert len(batch.lines) == 4
    assert RagRetrieval not in batch.types
