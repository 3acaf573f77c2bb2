"""The header `Authorization`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.access.authentication import bearer_token


@pytest.mark.parametrize(
    "value",
    ["Bearer rt_live_abc", "bearer rt_live_abc", "BEARER   rt_live_abc", " Bearer rt_live_abc "],
)
def test_token_is_found_when_header_is_well_formed(value: str) -> None:
    assert bearer_token([value]) == "rt_live_abc"


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["rt_live_abc"],
        ["Basic rt_live_abc"],
        ["Bearer:rt_live_abc"],
        ["Bearer\trt_live_abc"],
        ["Bearer rt_live_abc rt_live_abc"],
        ["Bearer rt_live_abc, Bearer rt_live_abc"],
        ["Bearer rt_live_abc\n"],
        ["Bearer rt_live_é"],
        ["Bearer " + "x" * 10_000],
        ["Bearer rt_live_abc", "Bearer rt_live_abc"],
    ],
)
def test_token_is_missing_when_header_is_malformed(values: list[str]) -> None:
    assert bearer_token(values) is None


@given(st.lists(st.text(), max_size=2))
def test_token_is_short_and_printable_when_header_is_anything(values: list[str]) -> None:
    token = bearer_token(values)
    assert token is None or (token.isascii() and token.isprintable())
