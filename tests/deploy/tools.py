"""Go's tools, built once a machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.layout import layout
from deploy.local.locking import locked

PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"

_BUILD_S = 900


def go_tool(package: str) -> Path:
    """The program of a Go package; built the first time, which takes minutes."""
    name, version = package.rsplit("/", 1)[1].split("@")
    folder = layout().cache / "go"
    program = folder / f"{name}-{version}"
    with locked(folder / "lock", f"{name} is being built"):
        if not program.exists():
            built = folder / "built"
            _go("install", package, GOBIN=str(built))
            (built / name).rename(program)
    return program


def _go(*arguments: str, **variables: str) -> str:
    if shutil.which("go") is None:
        pytest.skip("NOT TESTED: Go is not on the PATH, so there is no tool to test with")
    done = subprocess.run(
        ["go", *arguments],
        env=os.environ | variables,
        cwd=layout().cache,  # in no Go module
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
