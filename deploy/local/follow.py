"""Follows the log files of the stack, all at once."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from deploy.local.layout import Layout

_LAST_LINES = 10
_INTERVAL_S = 0.3


def follow(where: Layout) -> None:
    """Print the end of each log and then what is added, until interrupted."""
    print(f"the logs lie in {where.logs}; Ctrl-C ends this")
    files: dict[Path, TextIO] = {}
    with suppress(KeyboardInterrupt):
        while True:
            for path in sorted(where.logs.glob("*.log")):
                with suppress(FileNotFoundError):  # it is being rotated
                    _follow(path, files)
            time.sleep(_INTERVAL_S)


def _follow(path: Path, files: dict[Path, TextIO]) -> None:
    file = files.get(path)
    if file is None:
        files[path] = path.open(errors="replace")
        _print(path, files[path].readlines()[-_LAST_LINES:])
        return
    _print(path, file.readlines())
    if path.stat().st_ino != os.fstat(file.fileno()).st_ino:  # rotated; it goes on in a new file
        file.close()
        files[path] = path.open(errors="replace")


def _print(path: Path, lines: list[str]) -> None:
    for line in lines:
        print(f"{path.stem:11} {line.rstrip()}", flush=True)
