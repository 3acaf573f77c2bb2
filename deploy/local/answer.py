"""The question that `make up` ends with: the last seven days, asked as a reader would."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from deploy.local.demo import read_environment
from deploy.local.layout import Layout, StackError

_MAX_WAIT_S = 61  # a minute's limit, and a clock's rounding
_REPEATS = 3


def question(base_url: str, project: str, today: date) -> str:
    """The URL that asks for the user messages of the last seven days."""
    first = today - timedelta(days=6)
    return f"{base_url}/api/v1/projects/{project}/analytics?from={first}&to={today}&category=usage"


def table_of(stats: list[dict[str, Any]]) -> Table:
    """A line a day, a column a user type."""
    keys = sorted({row["key"] for row in stats}, reverse=True)
    table = Table("date")
    for key in keys:
        table.add_column(key, justify="right")
    for day in sorted({row["date"] for row in stats}, reverse=True):
        values = {row["key"]: row["value"] for row in stats if row["date"] == day}
        table.add_row(day, *(str(values.get(key, 0)) for key in keys))
    return table


def show_answer(console: Console, where: Layout) -> None:
    """Ask and print: the answer, the curl line that gives it, and where the services are."""
    demo = read_environment(where.demo_env)
    ask_and_show(console, demo["RT_QUERY_URL"], demo)
    # A key belongs on a terminal, and in no log.
    show_curl(console, demo, demo["RT_LIVE_KEY"] if console.is_terminal else "$RT_LIVE_KEY")
    if not console.is_terminal:
        console.print(f"The keys: set -a; . {where.demo_env}; set +a", soft_wrap=True, markup=False)
    console.print(f"\ningest  {demo['RT_INGEST_URL']}\nquery   {demo['RT_QUERY_URL']}")


def ask_and_show(console: Console, base_url: str, demo: dict[str, str]) -> None:
    """Ask the query service at an address, and print what it counted."""
    url = question(base_url, demo["RT_PROJECT"], datetime.now(UTC).date())
    stats = _ask(console, url, demo["RT_LIVE_KEY"])["stats"]
    console.print("\nMessages of users in the last 7 days, by user type:")
    console.print(table_of(stats) if stats else "  none yet: make demo sends some")


def show_curl(console: Console, demo: dict[str, str], key: str) -> None:
    """Print the command that asks the same."""
    url = question(demo["RT_QUERY_URL"], demo["RT_PROJECT"], datetime.now(UTC).date())
    console.print("The same by hand:")
    curl = f'curl "{url}" \\\n  -H "Authorization: Bearer {key}"'
    console.print(curl, soft_wrap=True, markup=False)


def _ask(console: Console, url: str, key: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(trust_env=False, timeout=30, headers=headers) as client:
        answer = client.get(url)
        for _ in range(_REPEATS):
            if answer.status_code not in {429, 503}:
                break
            wait_s = min(int(answer.headers.get("Retry-After", 2)), _MAX_WAIT_S)
            title = answer.json()["title"]
            console.print(f"query answers {answer.status_code} {title}: again in {wait_s} s")
            time.sleep(wait_s)
            answer = client.get(url)
    if answer.status_code != 200:
        raise StackError(f"query answered {answer.status_code}: {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found
