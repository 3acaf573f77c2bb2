"""A process is told from a later one with the same pid."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import pids


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for nothing."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_process_runs_when_it_was_remembered(tmp_path: Path) -> None:
    pids.remember(tmp_path / "p.json", os.getpid())

    assert pids.running(tmp_path / "p.json") == os.getpid()


def test_process_is_another_when_it_was_born_at_another_time(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"pid": os.getpid(), "born": "earlier"}))

    assert pids.running(tmp_path / "p.json") is None


@pytest.mark.parametrize("text", [None, "", "{"])
def test_nothing_runs_when_the_file_is_missing_or_broken(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "p.json").write_text(text)

    assert pids.running(tmp_path / "p.json") is None


def test_process_is_gone_when_it_was_ended(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    file = tmp_path / "p.json"
    pids.remember(file, sleeper.pid)

    assert pids.end(file, timeout_s=10)

    assert pids.running(file) is None
    assert not pids.end(file, timeout_s=10)
