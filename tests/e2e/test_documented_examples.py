"""Each example of the documents, run as it stands in a shell, and its answer compared.

The documents' today is moved to today, their demo project is a new one that has the numbers which
they show; all else must be equal.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local.layout import CHECKOUT
from tests.e2e.asking import message
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

API = CHECKOUT / "docs" / "api.md"
README = CHECKOUT / "README.md"
READING = CHECKOUT / "docs" / "reading.md"
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SETUP = "set -a; . .local/demo.env; set +a"
_COMMAND = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_ANSWER = re.compile(
    r"^```json\n(?P<block>.*?)^```|`(?P<inline>\{\".*?\})`", re.MULTILINE | re.DOTALL
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# What the documents show of the demo's random numbers.
_SHOWN = {"public": 142, "logged_in": 50}


@dataclass(frozen=True)
class Example:
    """A command, and the answer that is shown between it and the next one, if there is one."""

    command: str
    answer: Any


def examples_of(path: Path) -> list[Example]:
    """The commands of a document that ask a service."""
    text = path.read_text("utf-8")
    commands = list(_COMMAND.finditer(text))
    ends = [*(command.start() for command in commands[1:]), len(text)]
    return [
        Example(command[0], _answer_in(text[command.end() : end]))
        for command, end in zip(commands, ends, strict=True)
        if "curl " in command[0]
    ]


def _answer_in(text: str) -> Any:
    shown = _ANSWER.search(text)
    return None if shown is None else json.loads(shown["block"] or shown["inline"])


def moved_to(today: date, project_id: str, answer: Any) -> Any:
    """An answer as a project gets it when `today` is the last day that was asked for."""
    if answer is None or "range" not in answer:
        return answer
    by = today - date.fromisoformat(answer["range"]["to"])

    def move(day: re.Match[str]) -> str:
        return (date.fromisoformat(day[0]) + by).isoformat()

    moved: dict[str, Any] = json.loads(_DAY.sub(move, json.dumps(answer)))
    return moved | {"projectId": project_id}


def shell_of(stack: Stack, folder: Path) -> "Shell":
    """A shell beside a demo project that holds what the documents show."""
    (demo,) = stack.new_projects(1)
    stack.post_events(
        demo,
        [
            message(f"{user}-{number}", userType=user)
            for user, count in _SHOWN.items()
            for number in range(count)
        ],
    )
    (folder / ".local").mkdir()
    (folder / ".local" / "demo.env").write_text(
        f"RT_QUERY_URL={stack.services['query'].url}\nRT_INGEST_URL={stack.services['ingest'].url}\n"
        f"RT_PROJECT={demo.id}\nRT_LIVE_KEY={demo.live_key}\nRT_TEST_KEY={demo.test_key}\n"
    )
    return Shell(stack, folder, demo.id)


@dataclass(frozen=True)
class Shell:
    """Where the examples run."""

    stack: Stack
    folder: Path
    project_id: str

    def run(self, command: str) -> Any:
        """The JSON that a command answers."""
        return json.loads(self.print_of(command))

    def print_of(self, command: str) -> str:
        """What a command prints, when all that was sent before has been counted."""
        self.stack.wait_until_counted()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{_SETUP}\n{command}"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout


def test_documents_have_examples_with_answers() -> None:
    assert sum(example.answer is not None for example in examples_of(API)) == len(examples_of(API))
    assert len(examples_of(API)) >= 6
    assert len(examples_of(README)) == 2
    assert all(_SETUP in path.read_text("utf-8") for path in (API, README))


def test_every_answer_is_the_shown_one_when_the_examples_of_the_api_are_run(
    stack: Stack, tmp_path: Path
) -> None:
    shell = shell_of(stack, tmp_path)
    for example in examples_of(API):
        answer = shell.run(example.command)
        today = datetime.now(UTC).date()
        if "requestId" in answer:  # a new one each time
            answer["requestId"] = example.answer["requestId"]
        assert answer == moved_to(today, shell.project_id, example.answer), example.command


def test_readme_counts_its_event_once_when_its_examples_are_run_twice(
    stack: Stack, tmp_path: Path
) -> None:
    shell = shell_of(stack, tmp_path)
    read, send = examples_of(README)
    before = _messages(shell.run(read.command))
    for _ in range(2):
        assert shell.run(send.command) == send.answer
    assert _messages(shell.run(read.command)) == before | {"public": before["public"] + 1}


def test_recipe_in_python_prints_the_numbers(stack: Stack, tmp_path: Path) -> None:
    shell = shell_of(stack, tmp_path)
    (recipe,) = _PYTHON.findall(READING.read_text("utf-8"))
    (tmp_path / "recipe.py").write_text(recipe)

    printed = shell.print_of(f"{sys.executable} recipe.py")

    today = datetime.now(UTC).date().isoformat()
    assert {f"{today} {user} {count}" for user, count in _SHOWN.items()} <= {*printed.splitlines()}
    assert printed.splitlines()[-1].startswith("messages in a conversation a day: ")


def _messages(answer: Any) -> dict[str, int]:
    return {row["key"]: row["value"] for row in answer["stats"]}


def test_project_and_today_are_moved_in_every_place_of_an_answer() -> None:
    shown = {
        "projectId": "demo",
        "range": {"from": "2026-02-22", "to": "2026-03-24"},
        "stats": [{"date": "2026-03-23"}],
    }
    assert moved_to(date(2026, 3, 24) + timedelta(days=2), "another", shown) == {
        "projectId": "another",
        "range": {"from": "2026-02-24", "to": "2026-03-26"},
        "stats": [{"date": "2026-03-25"}],
    }
