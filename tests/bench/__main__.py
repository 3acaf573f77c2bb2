"""`python -m tests.bench [PART …]`: measure, beside what a user would take instead.

Without names all parts but `late` and those of 100 million events, which `--scale` runs. Shows a
table, writes `.local/bench/<name>.json` and a picture beside it, and tells last which goals were
missed.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.bench.measure import Result
from tests.bench.parts import ALL, PARTS, SCALE
from tests.bench.report import show, verdict, write


def measure(names: Sequence[str], *, quick: bool) -> list[Result]:
    """Run these parts, one after the other."""
    results: list[Result] = []
    for name in names:
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        results += ALL[name](quick=quick)
    return results


def main() -> None:
    """Run the parts that are asked for, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(ALL))
    parser.add_argument("--scale", action="store_true", help="the parts of 100 million events")
    parser.add_argument("--quick", action="store_true", help="few rounds of little: to try it")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.parts if name not in ALL]:
        parser.error(f"no such part: {', '.join(unknown)}")
    names = arguments.parts or list(SCALE if arguments.scale else PARTS)
    results = measure(names, quick=arguments.quick)
    show(results)
    label = "-".join(arguments.parts) or ("scale" if arguments.scale else "bench")
    sys.stdout.write(f"{write(results, label)}\n{verdict(results)}")


if __name__ == "__main__":
    main()
