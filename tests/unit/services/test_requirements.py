"""A service needs what its own requirements install, and its traces what those of traces do."""

import subprocess
import sys

import pytest

from tests.e2e.processes import CHECKOUT

# Imports a service as if no distribution but its own were installed, then the module of traces.
_IMPORT = """
import re
import sys
from importlib import import_module
from importlib.metadata import packages_distributions

distributions = packages_distributions()
installed = set()


class OthersAreAbsent:
    def find_spec(self, name, path=None, target=None):
        known = distributions.get(name.partition(".")[0], [])
        if known and not installed & {re.sub("[-_.]+", "-", one).lower() for one in known}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, OthersAreAbsent())
for module, names in zip(sys.argv[1::2], sys.argv[2::2]):
    installed |= set(names.split())
    import_module(module)
"""


def _installed_by(name: str) -> str:
    lines = (CHECKOUT / "requirements" / f"{name}.txt").read_text("utf-8").splitlines()
    return " ".join(line.partition("==")[0].partition("[")[0] for line in lines if "==" in line)


@pytest.mark.parametrize("service", ["ingest", "processor", "query", "admin"])
def test_service_is_imported_with_its_own_requirements_alone(service: str) -> None:
    imports = {
        f"services.{service}.app": _installed_by(service),
        "libs.telemetry.spans": _installed_by("traces"),
    }
    arguments = [word for pair in imports.items() for word in pair]
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
