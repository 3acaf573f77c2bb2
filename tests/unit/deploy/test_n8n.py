"""The workflow for n8n asks for what it says. n8n itself runs it in tests/n8n."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from deploy.local.layout import CHECKOUT
from services.query.questions import Category

_TEXT = (CHECKOUT / "deploy" / "n8n" / "weekly.json").read_text("utf-8")
_FLOW = json.loads(_TEXT)
_NODES: dict[str, dict[str, Any]] = {node["name"]: node for node in _FLOW["nodes"]}

# What n8n gives to the code of a node, as far as this one asks for it.
_IN_NODE = """
const { code, settings, answers } = JSON.parse(require('fs').readFileSync(0, 'utf-8'));
const $ = () => ({ first: () => ({ json: settings }) });
const $input = { all: () => answers.map((json) => ({ json })) };
const [item] = new Function('$', '$input', code)($, $input);
process.stdout.write(item.json.text);
"""
needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="NOT TESTED: Node.js is not on the PATH"
)

Rows = Sequence[tuple[str, str, float]]


def _answer(category: str, rows: Rows = (), names: Mapping[str, str] | None = None) -> Any:
    stats = [
        {"date": date, "category": category, "key": key, "value": value, "isLive": True}
        for date, key, value in rows
    ]
    sources = [{"id": id_, "name": name} for id_, name in (names or {}).items()]
    range_ = {"from": "2026-03-01", "to": "2026-03-07"}
    body = {"range": range_, "category": category, "stats": stats, "sources": sources}
    return {"statusCode": 200, "body": body}


def _message(**answers: Any) -> list[str]:
    """The lines of the message for these answers; each category beside them has no rows."""
    given = {
        "code": _NODES["Slack message"]["parameters"]["jsCode"],
        "settings": {"projectId": "museum"},
        "answers": [answers.get(category, _answer(category)) for category in Category],
    }
    done = subprocess.run(
        ["node", "-e", _IN_NODE],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")


def test_node_asks_for_the_seven_days_before_today() -> None:
    ask = _NODES["Ask RAGtime"]["parameters"]
    parameters = {one["name"]: one["value"] for one in ask["queryParameters"]["parameters"]}
    assert ask["method"] == "GET"
    assert ask["url"].endswith("/analytics")
    assert (ask["authentication"], ask["genericAuthType"]) == (
        "genericCredentialType",
        "httpHeaderAuth",
    )
    assert parameters["from"] == "={{ $now.minus(7, 'days').format('yyyy-MM-dd') }}"
    assert parameters["to"] == "={{ $now.minus(1, 'day').format('yyyy-MM-dd') }}"
    assert _FLOW["settings"]["timezone"] == "UTC"


def test_loop_asks_for_the_nine_categories() -> None:
    assignments = _NODES["Settings"]["parameters"]["assignments"]["assignments"]
    (categories,) = (one["value"] for one in assignments if one["name"] == "category")
    assert re.findall(r'"(\w+)"', categories) == list(Category)


def test_every_connection_leads_from_a_node_to_a_node() -> None:
    targets = {
        target["node"]
        for connection in _FLOW["connections"].values()
        for branch in connection["main"]
        for target in branch
    }
    assert targets <= set(_NODES)
    assert set(_FLOW["connections"]) <= set(_NODES)


def test_file_holds_no_key_and_no_address_but_the_placeholder() -> None:
    assert "rt_live_" not in _TEXT
    assert set(re.findall(r"https?://[^/\"]+", _TEXT)) == {"https://your-ragtime-instance.com"}
    assert not _FLOW["active"]


def test_nothing_is_posted_before_somebody_switches_it_on() -> None:
    assert _NODES["Post to Slack"]["disabled"]


def test_message_adds_up_no_means() -> None:
    code = _NODES["Slack message"]["parameters"]["jsCode"]
    assert "key === 'avg_duration'" in code
    assert "sum('usage') / total" in code


@needs_node
def test_empty_week_is_a_message_too() -> None:
    head, *lines = _message()
    assert head == "*RAGtime, museum: 2026-03-01 to 2026-03-07*"
    assert lines == [f"• {category}: nothing" for category in Category]


@needs_node
def test_message_tells_for_a_day_what_must_not_be_added_over_days() -> None:
    """Two conversations on Monday, one of them on Tuesday too: 3 in 7 days are 0.4 a day."""
    monday, tuesday = "2026-03-02", "2026-03-03"
    lines = _message(
        usage=_answer("usage", [(monday, "public", 7), (tuesday, "public", 2)]),
        conversation=_answer(
            "conversation",
            [
                *((monday, "total", 2), (monday, "avg_messages", 3.5)),
                *((tuesday, "total", 1), (tuesday, "avg_messages", 2)),
            ],
        ),
        language=_answer("language", [(monday, "de", 2), (tuesday, "de", 1)]),
        session=_answer("session", [(monday, "total", 2), (monday, "avg_duration", 505)]),
    )
    assert "• usage: public 9" in lines
    assert "• conversation: 0.4 a day, 3 messages of users in each" in lines
    assert "• language: de 0.4 conversations a day" in lines
    assert "• session: total 2" in lines


@needs_node
def test_names_of_producers_become_no_mention_and_no_line() -> None:
    lines = _message(
        source=_answer("source", [("2026-03-02", "src-1", 3)], {"src-1": "<!channel>\n& all"})
    )
    assert "• source: &lt;!channel&gt; &amp; all 3" in lines
    assert len(lines) == 1 + len(Category)


@needs_node
def test_message_fails_when_an_answer_was_refused() -> None:
    refused = {"statusCode": 403, "body": {"code": "forbidden"}}
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _message(rag=refused)
    assert "RAGtime answered 403" in failed.value.stderr
