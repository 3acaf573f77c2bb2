"""From query parameters to a question or a problem."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from libs.http.problems import Problem
from services.query.questions import Category, Question, parse_question

TODAY = datetime(2026, 3, 25, 23, 59, tzinfo=UTC).date()
DEFAULT = Question("museum", date(2026, 2, 23), TODAY, None, live_only=True, device_id=None)


def parse(query: str) -> Question:
    return parse_question("museum", QueryParams(query).multi_items(), TODAY)


def test_question_has_defaults_when_nothing_is_given() -> None:
    assert parse("") == DEFAULT


def test_question_has_what_is_given_when_all_is() -> None:
    question = parse("from=2026-03-01&to=2026-03-20&category=usage&live=false&deviceId=kiosk")
    assert question == Question(
        "museum",
        date(2026, 3, 1),
        date(2026, 3, 20),
        Category.USAGE,
        live_only=False,
        device_id="kiosk",
    )


@pytest.mark.parametrize(
    ("query", "first_day", "last_day"),
    [
        ("to=2026-03-10", "2026-02-08", "2026-03-10"),
        ("from=2026-03-25", "2026-03-25", "2026-03-25"),
        ("from=2024-02-29&to=2024-02-29", "2024-02-29", "2024-02-29"),
        ("from=2024-01-01&to=2026-03-10", "2024-01-01", "2026-03-10"),  # 800 days
        ("from=1900-01-01&to=1900-12-31", "1900-01-01", "1900-12-31"),
        ("to=0001-01-05", "0001-01-01", "0001-01-05"),
    ],
)
def test_range_is_inclusive_and_thirty_days_when_not_given(
    query: str, first_day: str, last_day: str
) -> None:
    question = parse(query)
    assert (str(question.first_day), str(question.last_day)) == (first_day, last_day)


@pytest.mark.parametrize("query", ["from=2026-03-26", "from=9999-12-31", "from=2026-04-01&to="])
def test_range_is_the_day_from_when_that_is_later_than_today(query: str) -> None:
    question = parse(query)
    assert question.first_day == question.last_day > TODAY


@pytest.mark.parametrize(
    "query",
    ["category=&live=&deviceId=&from=&to=", "from&to&live", "category=&category=", "live=&live="],
)
def test_empty_value_counts_as_absent(query: str) -> None:
    assert parse(query) == DEFAULT


def test_empty_value_beside_another_counts_as_absent() -> None:
    assert parse("category=&category=usage").category is Category.USAGE


_NAMES = ("from", "to", "category", "live", "deviceId")


@st.composite
def _near_misses(draw: st.DrawFn) -> tuple[str, str]:
    name = draw(st.sampled_from(_NAMES))
    letters = [draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name]
    gaps = st.text("_-()[]{} \t", max_size=2)
    return name, draw(gaps) + "".join(letter + draw(gaps) for letter in letters)


@given(_near_misses())
def test_name_that_is_nearly_one_of_ours_is_refused_with_the_right_one(
    names: tuple[str, str],
) -> None:
    name, written = names
    if written in _NAMES:
        return
    with pytest.raises(Problem) as caught:
        parse_question("museum", [(written, "x")], TODAY)
    assert (caught.value.status, caught.value.code) == (400, "unknown_parameter")
    assert caught.value.detail.endswith(f"it is written {name}.")


@pytest.mark.parametrize("query", ["page=2", "fromm=x", "fr.om=x", "device=kiosk", "_=1", "[]=1"])
def test_other_names_are_ignored(query: str) -> None:
    assert parse(query) == DEFAULT


KEPT_SINCE = TODAY - timedelta(days=10)


@pytest.mark.parametrize(
    ("query", "first_day"),
    [
        ("deviceId=kiosk", KEPT_SINCE),
        (f"deviceId=kiosk&to={KEPT_SINCE}", KEPT_SINCE),
        (f"deviceId=kiosk&from={KEPT_SINCE}", KEPT_SINCE),
        ("", TODAY - timedelta(days=30)),
        ("from=2020-01-01", date(2020, 1, 1)),
        ("deviceId=&from=2020-01-01", date(2020, 1, 1)),
    ],
)
def test_device_is_answered_for_the_days_whose_raw_events_are_kept(
    query: str, first_day: date
) -> None:
    parameters = QueryParams(query).multi_items()
    assert parse_question("museum", parameters, TODAY, KEPT_SINCE).first_day == first_day


@pytest.mark.parametrize("query", ["from=2020-01-01", f"to={KEPT_SINCE - timedelta(days=1)}"])
def test_device_is_refused_for_days_whose_raw_events_are_not_kept(query: str) -> None:
    parameters = QueryParams(f"deviceId=kiosk&{query}").multi_items()
    with pytest.raises(Problem) as caught:
        parse_question("museum", parameters, TODAY, KEPT_SINCE)
    assert (caught.value.status, caught.value.code) == (400, "days_not_kept")
    assert str(KEPT_SINCE) in caught.value.detail


@pytest.mark.parametrize("category", Category)
def test_category_is_known_when_it_is_one_of_nine(category: Category) -> None:
    assert parse(f"category={category.value}").category is category


def test_category_is_none_when_all_are_asked_for() -> None:
    assert parse("category=all") == DEFAULT


@pytest.mark.parametrize(
    ("live", "live_only"), [("true", True), ("TRUE", True), ("False", False), ("fALSE", False)]
)
def test_live_is_read_in_any_letter_case(live: str, live_only: bool) -> None:
    assert parse(f"live={live}").live_only is live_only


@pytest.mark.parametrize("device_id", ["k", "x" * 128, "%F0%9F%A4%96" * 128, "a%00b", "%27%5C%09"])
def test_device_is_taken_as_it_is_when_short_enough(device_id: str) -> None:
    assert parse(f"deviceId={device_id}").device_id == QueryParams(f"d={device_id}")["d"]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("from=2026-02-30", "invalid_date", "from must be a real date written YYYY-MM-DD."),
        ("to=2026-13-01", "invalid_date", "to must be a real date written YYYY-MM-DD."),
        ("from=20260301", "invalid_date", "from must"),
        ("from=2026-3-1", "invalid_date", "from must"),
        ("from=2026-03-01T00:00:00Z", "invalid_date", "from must"),
        ("from=2026-03-01%0A", "invalid_date", "from must"),
        ("from=2026-W10-1", "invalid_date", "from must"),
        ("from=0000-01-01", "invalid_date", "from must"),
        ("from=%D9%A2026-03-01", "invalid_date", "from must"),
        ("from=2026-03-02&to=2026-03-01", "invalid_range", "from (2026-03-02) must not be after"),
        ("category=Usage", "unknown_category", "category must be one of"),
        ("category=_events", "unknown_category", "category must be one of"),
        ("live=maybe", "invalid_live", "live must"),
        ("live=1", "invalid_live", "live must"),
        ("live=yes", "invalid_live", "live must"),
        ("live=%20true", "invalid_live", "live must"),
        ("live=fal%C5%BFe", "invalid_live", "live must"),
        (f"deviceId={'x' * 129}", "invalid_device_id", "deviceId must"),
        ("live=true&live=true", "repeated_parameter", "live must be given at most once."),
        ("from=2026-03-01&from=x", "repeated_parameter", "from must be given at most once."),
    ],
)
def test_problem_names_parameter_and_code_when_it_is_wrong(
    query: str, code: str, message: str
) -> None:
    with pytest.raises(Problem) as raised:
        parse(query)
    assert (raised.value.status, raised.value.code) == (400, code)
    assert raised.value.detail.startswith(message)


@pytest.mark.parametrize("query", ["foo=bar&foo=baz", "=x&=y", "&&"])
def test_parameter_is_ignored_when_unknown(query: str) -> None:
    assert parse(query) == DEFAULT


_PARTS = st.one_of(
    st.text(),
    st.sampled_from(["from", "to", "category", "live", "deviceId", "&", "=", "%00", "%", ";"]),
    st.sampled_from(["2026-03-01", "2026-02-30", "usage", "true", "FALSE", "9999-12-31"]),
    st.dates().map(str),
)


def outcome(query: str) -> Question | Problem:
    try:
        return parse(query)
    except Problem as problem:
        return problem


@given(st.lists(_PARTS, max_size=12).map("".join))
def test_question_or_400_is_the_outcome_when_query_string_is_anything(query: str) -> None:
    match outcome(query):
        case Problem() as problem:
            assert problem.status == 400
        case question:
            assert question.first_day <= question.last_day
