"""Any bytes give a verdict and nothing else: made up, and cut out of what is right."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds

_SEEDS = seeds()
_EXAMPLES = 400


@st.composite
def spoiled(draw: st.DrawFn, right: list[bytes]) -> bytes:
    """Something right with some bytes taken out and others put in, perhaps twice over."""
    whole = draw(st.sampled_from(right))
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, min(len(whole), start + 20)))
    return whole[:start] + draw(st.binary(max_size=12)) + whole[end:] * draw(st.integers(0, 2))


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=_EXAMPLES)
def test_any_bytes_give_a_verdict(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(st.binary(max_size=400) | spoiled(_SEEDS[name])))


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_search_begins_with_gives_a_verdict(name: str) -> None:
    for seed in _SEEDS[name]:
        TARGETS[name](seed)
