"""Follows the log files of the stack, all at once."""

import os
import time
from pathlib import Path
from typing import TextIO

from deploy.local.layout import Layout

_LAST_LINES = 10
_INTERVAL_S = 0.3


def follow(where: Layout) -> None:
    """Print the end of each log and then what is added, until interrupted."""
    print(f"the logs lie in {where.logs}; Ctrl-C ends this")
    files: dict[Path, TextIO] = {}
    while True:
        for path in sorted(where.logs.glob("*.log")):
            file = files.get(path)
            if file is None:
                files[path] = path.open(errors="replace")
                _print(path, files[path].readlines()[-_LAST_LINES:])
                continue
            _print(path, file.readlines())
            if path.stat().st_ino != _inode(file):  # rotated; what follows is in a new file
                file.close()
                files[path] = path.open(errors="replace")
        time.sleep(_INTERVAL_S)


def _inode(file: TextIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _print(path: Path, lines: list[str]) -> None:
    for line in lines:
        print(f"{path.stem:11} {line.rstrip()}", flush=True)
