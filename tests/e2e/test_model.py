"""The golden day's answer by hand and the independent count agree, without any server."""

from itertools import chain

import pytest

from tests.e2e.golden import DEVICES, read_golden_day
from tests.e2e.model import answer, counted, source_names

GOLDEN_DAY = read_golden_day()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("project", GOLDEN_DAY.counted)
def test_model_gives_the_answer_by_hand_when_it_counts_the_golden_day(
    project: str, device: str | None
) -> None:
    rows = answer(GOLDEN_DAY.sent(project), live_only=False, device=device)

    assert rows == GOLDEN_DAY.answers[project, device]


@pytest.mark.parametrize("live_only", [True, False])
@pytest.mark.parametrize("project", GOLDEN_DAY.counted)
def test_model_gives_the_names_by_hand_when_it_counts_the_golden_day(
    project: str, *, live_only: bool
) -> None:
    rows = [row for row in GOLDEN_DAY.answers[project, None] if row["isLive"] or not live_only]

    found = source_names(GOLDEN_DAY.sent(project), rows, live_only=live_only)
    names = {source["id"]: source["name"] for source in found}

    assert names == GOLDEN_DAY.source_names[project, live_only]


def test_model_drops_the_repeats_when_it_counts_the_golden_day() -> None:
    number = sum(len(counted(GOLDEN_DAY.sent(project))) for project in GOLDEN_DAY.counted)
    sent = list(chain.from_iterable(request.events for request in GOLDEN_DAY.requests))

    assert number == sum(GOLDEN_DAY.counted.values())
    assert len(sent) - number == GOLDEN_DAY.repeated
