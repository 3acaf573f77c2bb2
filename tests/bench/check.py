"""`python -m tests.bench.check [PART …]`: measure again, and compare with the committed baseline.

Only ratios are compared: an absolute figure says more about the machine than about the code. A loss
is a median that is a tenth worse than the baseline's, while even the best round is worse than the
baseline's worst: what is less may be noise. `--write` makes what is measured the new baseline.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.__main__ import measure
from tests.bench.parts import PARTS
from tests.bench.report import as_json, show

BASELINE = Path(__file__).with_name("baseline.json")
_NOISE = 0.1

Part = dict[str, Any]


def losses(baseline: list[Part], measured: list[Part]) -> list[str]:
    """A sentence for each ratio that has become worse, of parts that both sides know."""
    before = {part["name"]: part for part in baseline}
    return [
        f"{part['name']}: {part['value']:.3g}, was {before[part['name']]['value']:.3g}"
        for part in measured
        if part["ratio"] and part["name"] in before and _is_worse(before[part["name"]], part)
    ]


def _is_worse(before: Part, now: Part) -> bool:
    if str(now["goal"]).startswith("≥"):  # more is better
        is_lower = now["value"] < before["value"] * (1 - _NOISE)
        return is_lower and bool(max(now["spread"]) < min(before["spread"]))
    is_higher = now["value"] > before["value"] * (1 + _NOISE)
    return is_higher and bool(min(now["spread"]) > max(before["spread"]))


def kept(measured: dict[str, Any]) -> dict[str, Any]:
    """What of a measurement is a baseline: the ratios, and what they were measured on."""
    names = ("name", "value", "goal", "spread", "ratio")
    ratios = [part for part in measured["parts"] if part["ratio"]]
    parts = [{name: part[name] for name in names} for part in ratios]
    return {"machine": measured["machine"], "parts": parts}


def main() -> int:
    """Exit code 1 when something has become slower."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--from", dest="file", type=Path, help="a JSON of `make bench`, instead")
    parser.add_argument("--write", action="store_true", help="make it the new baseline")
    arguments = parser.parse_args()
    if arguments.file:
        measured = json.loads(arguments.file.read_text("utf-8"))
    else:
        results = measure(arguments.parts or list(PARTS), quick=False)
        show(results)
        measured = as_json(results)
    if arguments.write:
        BASELINE.write_text(json.dumps(kept(measured), indent=1) + "\n", "utf-8")
        return 0
    found = losses(json.loads(BASELINE.read_text("utf-8"))["parts"], measured["parts"])
    sys.stdout.write("".join(f"slower: {loss}\n" for loss in found) or "no loss beyond noise\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
