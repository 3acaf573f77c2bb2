"""`make check`: what must hold before a commit. No server, under a minute."""

import subprocess
import sys
import time
from pathlib import Path

from deploy.local.layout import CHECKOUT, PYTHON

_BIN = Path(PYTHON).parent
_CHECKS: dict[str, list[str]] = {
    "format": ["-m", "ruff", "format", "--check", "."],
    "lint": ["-m", "ruff", "check", "."],
    "types": ["-m", "mypy", "--strict"],
    "imports": [str(_BIN / "lint-imports")],
    "unit tests": ["-m", "pytest", "-q", "tests/unit"],
}


def main() -> int:
    """Run the checks; the first that fails ends it."""
    for name, arguments in _CHECKS.items():
        print(f"── {name}", flush=True)
        started = time.monotonic()
        code = subprocess.run([PYTHON, *arguments], cwd=CHECKOUT, check=False).returncode
        if code != 0:
            print(f"make check: {name} failed", flush=True)
            return 1
        print(f"   ok ({time.monotonic() - started:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
