"""The workflow for n8n asks for what it says. n8n itself runs it in tests/n8n."""

import json
import re
from typing import Any

from deploy.local.layout import CHECKOUT
from services.query.questions import Category

_TEXT = (CHECKOUT / "deploy" / "n8n" / "weekly.json").read_text("utf-8")
_FLOW = json.loads(_TEXT)
_NODES: dict[str, dict[str, Any]] = {node["name"]: node for node in _FLOW["nodes"]}


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
