"""Both services do what their documents say, whatever a stranger sends: a short run of each.

`make conformance` makes the long one. Here schemathesis takes a new seed each time; it prints it.
"""

from pathlib import Path

import pytest

from tests.conformance.schemathesis_run import run_schemathesis
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

_MAX_EXAMPLES = 150


@pytest.mark.parametrize("service", ["query", "ingest"])
def test_schemathesis_finds_nothing_when_it_checks_all_it_can(
    stack: Stack, tmp_path: Path, service: str
) -> None:
    (project,) = stack.new_projects(1)

    findings = run_schemathesis(stack, service, project, _MAX_EXAMPLES, tmp_path)

    assert not findings.failures, findings.text
    assert not findings.errors, findings.text
    assert findings.cases >= _MAX_EXAMPLES, findings.text
