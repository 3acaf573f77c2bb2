"""What is told at the end of a run: how many tests each layer has, and how long they took."""

from collections.abc import Iterable

import pytest


def lines(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A line a layer, which is a folder of `tests`; seconds with what fixtures took."""
    tests: dict[str, set[str]] = {}
    seconds: dict[str, float] = {}
    for report in reports:
        layer = report.nodeid.split("/")[1]
        tests.setdefault(layer, set()).add(report.nodeid)
        seconds[layer] = seconds.get(layer, 0.0) + report.duration
    return [
        f"{layer:12}{len(tests[layer]):6} tests{seconds[layer]:8.1f} s"
        for layer in sorted(seconds, key=lambda layer: -seconds[layer])
    ]
