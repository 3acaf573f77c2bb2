"""`python -m tests.bench.neighbours [KIND …]`: what A can do to B, each kind on a stack of its own.

Ends with an error where B's times, its memory's limits or its answers were not kept. The table lies
in `.local/bench/neighbours.md` after each kind, the raw figures in the JSON beside it.
"""

import argparse
import logging
import sys

from tests.bench.neighbours.kinds import KINDS
from tests.bench.neighbours.measuring import Figures, measure
from tests.bench.neighbours.report import faults_of, table, write


def main() -> int:
    """Measure the kinds that are asked for, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--seconds", type=int, default=60, help="of each attack")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.kinds if name not in KINDS]:
        parser.error(f"no such kind: {', '.join(unknown)}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Kafka is being started
    measured: list[Figures] = []
    failed: list[str] = []
    for kind in arguments.kinds or KINDS:
        _say(f"== {kind}: {KINDS[kind].says}")
        try:
            measured.append(measure(kind, arguments.seconds))
        except Exception as error:  # noqa: BLE001 - the other kinds are measured all the same
            failed.append(kind)
            _say(f"   could not be measured: {type(error).__name__}: {error}")
            continue
        for fault in faults_of(measured[-1]) or ["all is well"]:
            _say(f"   {fault}")
        path = write(measured)
    if measured:
        _say(f"{table(measured)}\n{path}")
    return 1 if failed or any(faults_of(figures) for figures in measured) else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
