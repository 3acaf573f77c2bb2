"""Schemathesis as a process: all its checks against one service, and what it found."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.processes import CHECKOUT
from tests.e2e.stack import Project, Stack

_HOOKS = "tests.conformance.hooks"
_AT_MOST_S = 1_200.0
_TAIL = 4_000


@dataclass(frozen=True)
class Findings:
    """What a run found. `text`: what schemathesis says, for people."""

    cases: int
    failures: list[str]
    errors: list[str]
    text: str


def run_schemathesis(
    stack: Stack, service: str, project: Project, max_examples: int, folder: Path
) -> Findings:
    """Ask a service what its document, as it serves it, lets one ask. Never shrinks for ever."""
    url = stack.services[service].url
    document = folder / f"{service}.json"
    document.write_text(httpx.get(f"{url}/openapi.json", trust_env=False).text, "utf-8")
    report = folder / f"{service}-report.json"
    config = folder / "schemathesis.toml"
    # The one value that no schema can tell: which project the key belongs to.
    config.write_text(f'[parameters]\n"path.projectId" = "{project.id}"\n')
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *(f"--config-file={config}", "run", str(document), f"--url={url}", "--checks=all"),
        *(f"--header=Authorization: Bearer {project.live_key}", f"--max-examples={max_examples}"),
        *("--continue-on-failure", "--generation-database=none", "--no-color"),
        *("--report=json", f"--report-json-path={report}"),
    ]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={"SCHEMATHESIS_HOOKS": _HOOKS, "PYTHONPATH": str(CHECKOUT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=_AT_MOST_S,
        check=False,
    )
    text = (done.stdout + done.stderr)[-_TAIL:]
    assert report.exists(), text
    found = json.loads(report.read_text("utf-8"))
    return Findings(
        cases=found["test_cases"]["generated"],
        failures=[failure["title"] for failure in found["failures"]],
        errors=[str(error) for error in found["errors"]],
        text=text,
    )
