"""A service needs nothing but what its own requirements install; its traces, those of traces too."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import CHECKOUT

# Imports modules as if no distribution but the given ones were installed.
_IMPORT = """
import re
import sys
from importlib import import_module
from importlib.metadata import packages_distributions

installed = set(sys.argv[1].split())
distributions = packages_distributions()


class OthersAreAbsent:
    def find_spec(self, name, path=None, target=None):
        known = distributions.get(name.partition(".")[0], [])
        if known and not installed & {re.sub("[-_.]+", "-", one).lower() for one in known}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, OthersAreAbsent())
for module in sys.argv[2:]:
    import_module(module)
"""


def _names(*files: Path) -> str:
    lines = (line for file in files for line in file.read_text("utf-8").splitlines())
    return " ".join(line.partition("==")[0].partition("[")[0] for line in lines if "==" in line)


@pytest.mark.parametrize("service", ["ingest", "processor", "query", "admin"])
@pytest.mark.parametrize("with_traces", [False, True])
def test_service_is_imported_with_its_own_requirements_alone(
    service: str, *, with_traces: bool
) -> None:
    names = [service, "traces"] if with_traces else [service]
    installed = _names(*(CHECKOUT / "requirements" / f"{name}.txt" for name in names))
    modules = [f"services.{service}.app", *(["libs.telemetry.spans"] if with_traces else [])]
    command = [sys.executable, "-c", _IMPORT, installed, *modules]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
