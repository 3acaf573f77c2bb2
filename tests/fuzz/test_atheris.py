"""A few seconds of coverage-guided fuzzing of what strangers reach first."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from deploy.local.layout import CHECKOUT

_SECONDS = 5
_RUNS = re.compile(r"stat::number_of_executed_units: (\d+)")


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("name", ["decoder", "body", "query"])
def test_search_finds_nothing_but_verdicts(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, str(_SECONDS)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    runs = _RUNS.search(done.stderr)
    assert runs is not None
    assert int(runs[1]) > 100, done.stderr[-3_000:]
