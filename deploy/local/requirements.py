"""Compiles the hashed requirements files from pyproject.toml. No registry's address gets in."""

import subprocess
import sys
from pathlib import Path

from deploy.local.layout import CHECKOUT, PYTHON

_UV = [str(Path(PYTHON).parent / "uv"), "pip", "compile", "--quiet"]
_PROJECT = "pyproject.toml"
_OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
)
_EXTRAS = ("ingest", "processor", "query", "admin")
_ALL = "requirements/dev.txt"


def main() -> int:
    """Compile `dev` first; all others take its versions."""
    _compile("dev", _PROJECT, "--all-extras", "--group=dev")
    for extra in (*_EXTRAS, "traces"):
        _compile(extra, _PROJECT, f"--extra={extra}", f"--constraints={_ALL}")
    local = (f"--extra={extra}" for extra in (*_EXTRAS, "local"))
    _compile("local", _PROJECT, *local, f"--constraints={_ALL}")
    for group in ("images", "clients"):
        _compile(group, f"--group={group}", f"--constraints={_ALL}")
    return 0


def _compile(name: str, *choice: str) -> None:
    # `--upgrade` given to `make requirements` takes what is newest; without it versions stay.
    command = [*_UV, *_OPTIONS, *choice, *sys.argv[1:], f"--output-file=requirements/{name}.txt"]
    subprocess.run(command, cwd=CHECKOUT, check=True)
    print(f"requirements/{name}.txt", flush=True)


if __name__ == "__main__":
    sys.exit(main())
