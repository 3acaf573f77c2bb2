"""The table that `make up` ends with."""

from datetime import date

from rich.console import Console

from deploy.local.answer import question, table_of


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
