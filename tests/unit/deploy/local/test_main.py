"""The verbs of `make` as a process: no trace of ours where a person meets the machine's limits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import __main__ as verbs


def test_verb_ends_quietly_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "deploy.local", "status"],
        env=os.environ | {"RAGTIME_LOCAL_DIR": str(tmp_path / "stack")},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert done.stderr == ""
    assert done.returncode == 1


def test_verb_names_the_file_that_may_not_be_touched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "/srv/stack/state")

    monkeypatch.setattr(sys, "argv", ["local", "status"])
    monkeypatch.setattr(verbs, "layout", refuse)

    assert verbs.main() == 1
    assert capsys.readouterr().err == "make status: Permission denied: /srv/stack/state\n"
