"""The rollup and the raw events give the same numbers, whatever the events are."""

import secrets
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.query.questions import Question
from tests.integration.query.rows import answer, insert_events

pytestmark = pytest.mark.integration

DEVICE = "lobby-kiosk"
# ClickHouse's text parameters and JSON carry any text but lone surrogates.
_KEYS = st.one_of(
    st.sampled_from(["a", "b", "_ended", "total", "unknown"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)
_SOURCES = st.lists(st.tuples(_KEYS, st.sampled_from(["", "Guide", "Map"])), max_size=3)
_OF_TYPE = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("chat.message"),
            "role": st.sampled_from(["user", "assistant"]),
            "user_type": st.sampled_from(["public", "logged_in"]),
            "language": st.sampled_from(["de", "en", "unknown"]),
            "first_of_day": st.booleans(),
        }
    ),
    st.fixed_dictionaries({"type": st.just("chat.action"), "action": _KEYS}),
    st.fixed_dictionaries(
        {"type": st.just("rag.retrieval"), "hit": st.booleans(), "sources": _SOURCES}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("session.started"),
            "country": st.sampled_from(["DE", "AT", "unknown"]),
            "device_type": st.sampled_from(["desktop", "mobile", "tablet", "unknown"]),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("session.ended"), "duration_ms": st.integers(0, 604_800_000)}
    ),
)
_OF_ALL = st.fixed_dictionaries(
    {
        "is_live": st.booleans(),
        "kp": st.integers(0, 2),
        "occurred_at": st.sampled_from(
            ["2026-03-23T23:59:59.999Z", "2026-03-24T00:00:00Z", "2026-03-25T12:00:00Z"]
        ),
    }
)
_EVENTS = st.lists(
    st.builds(lambda one, all_: one | all_, _OF_TYPE, _OF_ALL), min_size=1, max_size=40
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=_EVENTS, live_only=st.booleans())
async def test_answers_agree_when_all_events_are_of_one_device(
    clickhouse: AsyncClient, events: list[dict[str, Any]], live_only: bool
) -> None:
    project = secrets.token_hex(8)  # each example has the tables to itself
    own = [event | {"project_id": project, "device_id": DEVICE} for event in events]
    others = [event | {"project_id": f"{project}-other"} for event in events]
    await insert_events(clickhouse, own + others)
    of_project = Question(project, date(2026, 3, 1), date(2026, 3, 25), None, live_only, None)
    from_rollup = await answer(clickhouse, of_project)
    from_raw = await answer(clickhouse, replace(of_project, device_id=DEVICE))
    assert from_raw == from_rollup
    assert await answer(clickhouse, replace(of_project, device_id="desk")) == from_rollup | {
        "stats": [],
        "sources": [],
    }
