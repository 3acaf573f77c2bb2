"""What counts as a loss against the baseline, and what is noise."""

from typing import Any

import pytest

from tests.bench.check import losses


def part(value: float, spread: tuple[float, float], goal: str = "≤ 2", **fields: Any) -> Any:
    return {"name": "a", "value": value, "spread": spread, "goal": goal, "ratio": True} | fields


@pytest.mark.parametrize(
    ("before", "now", "is_loss"),
    [
        (part(1.0, (0.9, 1.1)), part(1.3, (1.2, 1.4)), True),
        (part(1.0, (0.9, 1.1)), part(1.3, (1.0, 1.4)), False),  # the rounds overlap
        (part(1.0, (0.99, 1.01)), part(1.05, (1.04, 1.06)), False),  # too little
        (part(1.0, (0.9, 1.1)), part(0.5, (0.4, 0.6)), False),  # faster
        (part(0.6, (0.55, 0.65), "≥ 0.4"), part(0.4, (0.35, 0.45), "≥ 0.4"), True),
        (part(0.6, (0.55, 0.65), "≥ 0.4"), part(0.8, (0.75, 0.85), "≥ 0.4"), False),
    ],
)
def test_loss_is_what_is_beyond_noise(before: Any, now: Any, is_loss: bool) -> None:
    assert bool(losses([before], [now])) is is_loss


def test_loss_names_the_part_and_both_values() -> None:
    (loss,) = losses([part(1.0, (1.0, 1.0))], [part(2.0, (2.0, 2.0))])
    assert loss == "a: 2, was 1"


def test_absolute_figures_and_unknown_parts_are_not_compared() -> None:
    slow = part(9.0, (9.0, 9.0), ratio=False)
    new = part(9.0, (9.0, 9.0), name="b")
    assert losses([part(1.0, (1.0, 1.0))], [slow, new]) == []
