"""The picture of a measurement, whose texts are whole, and what is told last."""

import re
from xml.etree import ElementTree

import pytest

from tests.bench.measure import Goal, Result
from tests.bench.report import missed, picture, verdict

_NARROWEST_CHARACTER = 7.2  # of a monospaced font of 12 pixels


def result(name: str, value: float, goal: Goal | None) -> Result:
    return Result(name, value, "×", goal, [], (value, value))


LONG = "write path, records of 500: CPU-s an event, ours ÷ a loop that only copies them"
RESULTS = [
    result("a", 1.3, Goal(at_most=1.0)),
    result(LONG, 0.7, Goal(at_least=0.4)),
    result("a figure without a goal, which is not drawn" * 3, 1.0, None),
    result("far beyond <& it", 1e6, Goal(at_most=2)),
]


def texts_of(svg: str) -> list[tuple[float, float]]:
    """Where each text begins and ends, in pixels."""
    found = []
    for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314
        x, wide = float(text.attrib["x"]), len(text.text or "") * _NARROWEST_CHARACTER
        is_end = text.get("text-anchor") == "end"
        found.append((x - wide, x) if is_end else (x, x + wide))
    return found


@pytest.mark.parametrize("results", [RESULTS, RESULTS[:1], RESULTS[1:2], []])
def test_no_text_is_cut_off_when_labels_are_of_any_length(results: list[Result]) -> None:
    svg = picture(results)
    width = float(ElementTree.fromstring(svg).attrib["width"])  # noqa: S314
    assert all(begin >= 0 and end <= width for begin, end in texts_of(svg))


def test_bar_ends_before_its_figure_begins() -> None:
    svg = picture(RESULTS)
    bars = [
        tuple(map(float, bar)) for bar in re.findall(r'<rect x="(\d+)" .*? width="([\d.]+)"', svg)
    ]
    begins = min(begin for begin, _ in texts_of(svg)[1::2])
    assert len(bars) == 3
    assert all(x + width <= begins for x, width in bars)


def test_missed_goals_are_told_with_how_much() -> None:
    assert missed(RESULTS)[0] == "a: 1.3 ×, goal ≤ 1, missed by 30.0%"
    assert len(missed(RESULTS)) == 2
    assert missed([result("b", 0.3, Goal(at_least=0.4))]) == [
        "b: 0.3 ×, goal ≥ 0.4, missed by 25.0%"
    ]


def test_last_line_says_so_when_every_goal_was_met() -> None:
    assert verdict(RESULTS[1:3]) == "every goal was met\n"
    assert verdict(RESULTS).count("goal missed: ") == 2
