"""The table that `make up` ends with."""

from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local import answer
from deploy.local.answer import question, show_answer, table_of
from deploy.local.layout import Layout


def test_question_asks_for_seven_days_and_today_is_the_last() -> None:
    url = question("http://127.0.0.1:8080", "demo", date(2026, 3, 4))

    assert url == (
        "http://127.0.0.1:8080/api/v1/projects/demo/analytics"
        "?from=2026-02-26&to=2026-03-04&category=usage"
    )


def test_table_has_a_zero_when_a_user_type_is_missing_on_a_day() -> None:
    stats = [
        {"date": "2026-03-04", "category": "usage", "key": "public", "value": 12, "isLive": True},
        {"date": "2026-03-03", "category": "usage", "key": "logged_in", "value": 3, "isLive": True},
    ]
    console = Console(width=60)
    with console.capture() as shown:
        console.print(table_of(stats))

    lines = [line.replace("│", " ").split() for line in shown.get().splitlines()]
    assert ["2026-03-04", "12", "0"] in lines
    assert ["2026-03-03", "0", "3"] in lines


@pytest.mark.parametrize("is_terminal", [False, True])
def test_key_is_shown_on_a_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    monkeypatch.setattr(answer, "ask_and_show", lambda *_: None)
    where = Layout(tmp_path, tmp_path)
    where.demo_env.write_text(
        "RT_INGEST_URL=http://127.0.0.1:1\nRT_QUERY_URL=http://127.0.0.1:2\n"
        "RT_PROJECT=demo\nRT_LIVE_KEY=the-live-key\nRT_TEST_KEY=the-test-key\n"
    )
    shown = StringIO()

    show_answer(Console(file=shown, force_terminal=is_terminal, width=200), where)

    assert ("the-live-key" in shown.getvalue()) == is_terminal
    assert (str(where.demo_env) in shown.getvalue()) == (not is_terminal)
    assert "the-test-key" not in shown.getvalue()
