"""Coverage-guided fuzzing: `python -m tests.fuzz decoder 60` searches for a minute.

atheris counts which branches of our code (not of msgspec's, which is C) some bytes reach, and
changes those that reach new ones. A finding is written to `crash-…` in the working directory.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["libs", "services"]):
    from tests.fuzz.targets import TARGETS, seeds


def main() -> None:
    """Search with one target for some seconds."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="ragtime-fuzz-") as folder:
        for number, seed in enumerate(seeds()[name]):
            (Path(folder) / str(number)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", folder], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
