"""Runs deploy/n8n/weekly.json in n8n itself, beside a running product, and checks its message.

    .venv/bin/python -m tests.n8n PATH/TO/n8n

n8n is large (2 GB) and comes from npm, so `make test` does not run this; deploy/n8n/README.md says
how to get it. Three runs: with a usual key, with one that is limited to 5 requests a minute, and
for a project whose week was empty.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deploy.local.layout import CHECKOUT
from services.query.questions import Category
from tests.e2e.asking import message
from tests.e2e.stack import Project, Stack, running_stack
from tests.servers import servers

WORKFLOW = CHECKOUT / "deploy" / "n8n" / "weekly.json"
_AT_MOST_S = 400
_MESSAGES = {"public": 3, "logged_in": 2}


@dataclass(frozen=True)
class N8n:
    """n8n with a database of its own in a folder."""

    program: Path
    folder: Path

    def run(self, *arguments: str) -> str:
        """What the command prints. Nothing is sent to n8n's makers."""
        path = f"{self.program.absolute().parent}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env={
                "PATH": path,
                "HOME": str(self.folder),
                "N8N_USER_FOLDER": str(self.folder),
                "N8N_DIAGNOSTICS_ENABLED": "false",
                "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            },
            capture_output=True,
            text=True,
            timeout=_AT_MOST_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
        return done.stdout

    def execute(self, project: Project, key: str, url: str) -> dict[str, Any]:
        """Import the workflow and its credential, run it, and return what each node did."""
        workflow = json.loads(WORKFLOW.read_text("utf-8"))
        _set(workflow, {"baseUrl": url, "projectId": project.id})
        (ask,) = (node for node in workflow["nodes"] if node["name"] == "Ask RAGtime")
        credential = ask["credentials"]["httpHeaderAuth"] | {
            "type": "httpHeaderAuth",
            "data": {"name": "Authorization", "value": f"Bearer {key}"},
        }
        self._import("credentials", [credential])
        self._import("workflow", workflow)
        printed = self.run("execute", f"--id={workflow['id']}", "--rawOutput")
        result = json.loads(printed[printed.index("\n{") :])["data"]["resultData"]
        assert "error" not in result, result["error"]
        runs: dict[str, Any] = result["runData"]
        return runs

    def _import(self, what: str, content: object) -> None:
        file = self.folder / f"{what}.json"
        file.write_text(json.dumps(content), "utf-8")
        self.run(f"import:{what}", f"--input={file}")


def _set(workflow: dict[str, Any], values: dict[str, str]) -> None:
    (settings,) = (node for node in workflow["nodes"] if node["name"] == "Settings")
    for assignment in settings["parameters"]["assignments"]["assignments"]:
        assignment["value"] = values.get(assignment["name"], assignment["value"])


def main() -> int:
    """Run it three times; an assertion says what is wrong."""
    with tempfile.TemporaryDirectory(prefix="ragtime-n8n-") as name, servers() as running:
        folder = Path(name)
        n8n = N8n(Path(sys.argv[1]), folder)
        with running_stack(running, folder) as stack:
            project, empty = stack.new_projects(2)
            stack.post_events(project, [_event(*one) for one in _numbered()])
            stack.wait_until_counted()
            _check(n8n, stack, project, project.live_key, set())
            _check(n8n, stack, project, _limited_key(stack, project), {429})
            _check_empty_week(n8n, stack, empty)
    return 0


def _numbered() -> list[tuple[str, int]]:
    return [(user, number) for user, count in _MESSAGES.items() for number in range(count)]


def _event(user: str, number: int) -> dict[str, Any]:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return message(f"{user}-{number}", userType=user, occurredAt=yesterday.isoformat())


def _limited_key(stack: Stack, project: Project) -> str:
    made = json.loads(
        stack.ragtime(
            *("keys", "create", "--project", project.id, "--scope", "analytics:read"),
            *("--rate", "5", "--json"),
        )
    )
    return str(made["key"])


def _check(n8n: N8n, stack: Stack, project: Project, key: str, refusals: set[int]) -> None:
    runs = n8n.execute(project, key, stack.services["query"].url)
    statuses = Counter(_item(run)["statusCode"] for run in runs["Ask RAGtime"])
    text = _item(runs["Slack message"][-1])["text"]
    sys.stdout.write(f"{dict(statuses)}\n{text}\n\n")
    assert statuses[200] == len(Category)
    assert set(statuses) - {200} == refusals
    assert project.id in text
    assert "• usage: public 3, logged_in 2" in text
    assert "• conversation: 0.1 a day, 5 messages of users in each" in text
    assert all(f"• {category}: " in text for category in Category)


def _check_empty_week(n8n: N8n, stack: Stack, project: Project) -> None:
    runs = n8n.execute(project, project.live_key, stack.services["query"].url)
    text = _item(runs["Slack message"][-1])["text"]
    sys.stdout.write(f"{text}\n")
    assert text.split("\n")[1:] == [f"• {category}: nothing" for category in Category]


def _item(run: dict[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = run["data"]["main"][0][0]["json"]
    return item


if __name__ == "__main__":
    sys.exit(main())
