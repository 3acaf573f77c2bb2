"""`make logs`."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.layout import CHECKOUT


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The folder of the logs; one log with twelve lines is there."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "query.log").write_text("".join(f"line {number}\n" for number in range(12)))
    return folder


@pytest.fixture
def following(logs: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m deploy.local logs` on that folder, past its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.local", "logs"],
        cwd=CHECKOUT,
        env={"RAGTIME_LOCAL_DIR": str(logs.parent)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert str(logs) in process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def _lines(process: subprocess.Popen[str], number: int) -> list[str]:
    assert process.stdout is not None
    return [" ".join(process.stdout.readline().split()) for _ in range(number)]


def test_logs_show_the_last_lines_and_then_what_is_added(
    logs: Path, following: subprocess.Popen[str]
) -> None:
    assert _lines(following, 10) == [f"query line {number}" for number in range(2, 12)]

    with (logs / "query.log").open("a") as log:
        log.write("added\n")
    (logs / "ingest.log").write_text("new\n")

    assert set(_lines(following, 2)) == {"query added", "ingest new"}


def test_logs_go_on_in_the_new_file_when_one_is_rotated(
    logs: Path, following: subprocess.Popen[str]
) -> None:
    _lines(following, 10)

    with (logs / "query.log").open("a") as log:
        log.write("the last of the old\n")
    (logs / "query.log").rename(logs / "query.log.1")
    (logs / "query.log").write_text("the first of the new\n")

    assert _lines(following, 2) == ["query the last of the old", "query the first of the new"]


def test_logs_end_well_when_they_are_interrupted(following: subprocess.Popen[str]) -> None:
    _lines(following, 10)

    following.send_signal(signal.SIGTERM)

    assert following.wait(10) == 0
