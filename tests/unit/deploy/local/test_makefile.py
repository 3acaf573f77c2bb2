"""`make` itself."""

import os
import subprocess
from pathlib import Path

from deploy.local.layout import CHECKOUT


def _make(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    # Without what an outer make tells its own recipes.
    environment = {
        name: value
        for name, value in os.environ.items()
        if "MAKE" not in name and not name.startswith("RAGTIME_")
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=CHECKOUT,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_lists_its_verbs_when_called_alone() -> None:
    done = _make(path=os.environ["PATH"])

    assert done.returncode == 0, done.stderr
    for verb in ("up", "down", "clean", "logs", "demo", "check", "test", "fmt", "requirements"):
        assert f"make {verb} " in done.stdout


def test_make_says_what_is_missing_when_there_is_no_python(tmp_path: Path) -> None:
    (tmp_path / "make").symlink_to(_which("make"))
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)

    done = _make("down", path=str(tmp_path))

    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr


def test_make_passes_a_port_on_when_it_is_given_as_a_variable() -> None:
    done = _make("-n", "-p", "down", "QUERY_PORT=18080", path=os.environ["PATH"])

    assert "RAGTIME_QUERY_PORT := 18080" in done.stdout
    assert "RAGTIME_INGEST_PORT" not in done.stdout


def _which(name: str) -> Path:
    folders = (Path(folder) for folder in os.environ["PATH"].split(os.pathsep))
    return next(folder / name for folder in folders if (folder / name).exists())
