"""Questions on the real engine: rows, parameters and expected rows are in questions.yaml."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.asyncclient import AsyncClient

from services.query.questions import Question, parse_question
from tests.integration.query.rows import answer, insert_events

pytestmark = pytest.mark.integration

TODAY = date(2026, 3, 25)
FIXTURE = yaml.safe_load((Path(__file__).parent / "questions.yaml").read_text("utf-8"))


def question_of(case: dict[str, Any]) -> Question:
    return parse_question(case.get("project", "museum"), list(case["ask"].items()), TODAY)


async def test_answers_are_those_worked_out_by_hand(clickhouse: AsyncClient) -> None:
    await insert_events(clickhouse, FIXTURE["events"])
    for case in FIXTURE["cases"]:
        body = await answer(clickhouse, question_of(case))
        shown = [list(stat.values()) for stat in body["stats"]]
        expected = [[str(day), *rest] for day, *rest in case["stats"]]
        assert shown == expected, case["title"]
        named = [[source["id"], source["name"]] for source in body["sources"]]
        assert named == case.get("sources", []), case["title"]


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "🤖",
        "'",
        "\\",
        "\\N",
        "\t\r\n",
        "{x:String}",
        "%s",
        "$a$",
        "ı",
        "\ufffd",
        "NULL",
        " ",
    ],
    ids=ascii,
)
async def test_text_is_taken_as_it_is_when_it_is_strange(
    clickhouse: AsyncClient, text: str
) -> None:
    of_action: dict[str, Any] = {"type": "chat.action", "conversation_id": "c", "action": text}
    of_source: dict[str, Any] = {
        "type": "rag.retrieval",
        "conversation_id": "c",
        "sources": [[text, "Name"]],
    }
    events = [of_action, of_source]
    own = [event | {"project_id": text, "device_id": text} for event in events]
    await insert_events(clickhouse, own + events)
    for parameters in ([], [("deviceId", text)]):
        body = await answer(clickhouse, parse_question(text, parameters, TODAY))
        assert [(s["category"], s["key"], s["value"]) for s in body["stats"]] == [
            ("action", text, 1),
            ("rag", "miss", 1),
            ("source", text, 1),
        ]
        assert body["sources"] == [{"id": text, "name": "Name"}]


async def test_device_id_of_128_wide_characters_is_understood(clickhouse: AsyncClient) -> None:
    device = "🤖" * 128
    await insert_events(clickhouse, [{"type": "session.started", "device_id": device}])
    body = await answer(clickhouse, parse_question("museum", [("deviceId", device)], TODAY))
    assert ("session", "total", 1) in [
        (stat["category"], stat["key"], stat["value"]) for stat in body["stats"]
    ]


async def test_corrections_are_not_shown_when_they_cancel_out(clickhouse: AsyncClient) -> None:
    await insert_events(
        clickhouse, [{"type": "chat.action", "conversation_id": "c", "action": "buy"}]
    )
    await clickhouse.command(
        "INSERT INTO daily_counts SELECT project_id, is_live, category, date, key, 1, -value"
        " FROM daily_counts WHERE category = 'action'"
    )
    body = await answer(clickhouse, parse_question("museum", [], TODAY))
    assert body["stats"] == []


def _naming(name: str, occurred_at: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "rag.retrieval",
        "conversation_id": "c",
        "hit": True,
        "sources": [["src", name]],
        "occurred_at": f"2026-03-{occurred_at}",
    } | more


@pytest.mark.parametrize(
    ("events", "live", "all_traffic"),
    [
        (  # a rehearsal renames nothing for live readers
            [_naming("Guide", "20T12:00:00Z"), _naming("Trial", "21T12:00:00Z", is_live=False)],
            "Guide",
            "Trial",
        ),
        (  # nor does an import of old events, for anybody
            [_naming("Guide", "20T12:00:00Z"), _naming("Old guide", "02T12:00:00Z")],
            "Guide",
            "Guide",
        ),
        (  # of two names of one moment the later one counts
            [_naming("Guide", "20T12:00:00Z"), _naming("Book", "20T12:00:00Z")],
            "Book",
            "Book",
        ),
        (
            [_naming("Trial", "20T12:00:00Z", is_live=False), _naming("", "21T12:00:00Z")],
            "src",
            "Trial",
        ),
    ],
)
async def test_source_has_the_latest_name_of_the_mode_that_is_asked_for(
    clickhouse: AsyncClient, events: list[dict[str, Any]], live: str, all_traffic: str
) -> None:
    kept = _naming("", "25T12:00:00Z")  # live readers have something to ask about
    await insert_events(clickhouse, [*events, kept])

    for asked, name in (("true", live), ("false", all_traffic)):
        question = parse_question("museum", [("live", asked)], TODAY)
        body = await answer(clickhouse, question)
        assert body["sources"] == [{"id": "src", "name": name}]


async def test_thousands_of_sources_are_named_in_one_answer(clickhouse: AsyncClient) -> None:
    names = {
        f"https://example.org/a/rather/long/address/of/a/source/{n:05}": n for n in range(5000)
    }
    pairs = [[source, f"Source {n}"] for source, n in names.items()]
    await insert_events(
        clickhouse,
        [
            {"type": "rag.retrieval", "conversation_id": "c", "sources": pairs[at : at + 100]}
            for at in range(0, len(pairs), 100)
        ],
    )
    body = await answer(clickhouse, parse_question("museum", [("category", "source")], TODAY))
    assert len(body["stats"]) == len(names)
    assert body["sources"] == [{"id": source, "name": name} for source, name in pairs]
