"""`make conformance`: schemathesis against both services, at least so many cases each."""

import sys
import tempfile
from pathlib import Path

from tests.conformance.schemathesis_run import run_schemathesis
from tests.e2e.stack import Stack, running_stack
from tests.servers import servers

_CASES = 2_000


def main() -> int:
    """Run both; exit code 1 when there is a finding, or too few cases."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else _CASES
    with tempfile.TemporaryDirectory(prefix="ragtime-conformance-") as name, servers() as running:
        folder = Path(name)
        with running_stack(running, folder) as stack:
            return max(_check(stack, service, cases, folder) for service in ("query", "ingest"))


def _check(stack: Stack, service: str, cases: int, folder: Path) -> int:
    (project,) = stack.new_projects(1)
    findings = run_schemathesis(stack, service, project, cases, folder)
    found = len(findings.failures) + len(findings.errors)
    sys.stdout.write(f"{findings.text}\n{service}: {findings.cases} cases, {found} findings\n")
    return 1 if found or findings.cases < cases else 0


if __name__ == "__main__":
    sys.exit(main())
