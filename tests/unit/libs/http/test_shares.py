"""Who holds how much, and that one holder always leaves as much for others."""

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.http.shares import Shares


def _greedy(shares: Shares, *holders: str) -> dict[str, int]:
    """What each has when all take one after the other, as long as they may."""
    for holder in cycle(holders):
        if not any(shares.fits(one, 1) for one in holders):
            break
        if shares.fits(holder, 1):
            shares.take(holder, 1)
    return {holder: shares.held_by(holder) for holder in holders}


@pytest.mark.parametrize(
    ("share", "holders", "each"),
    [(0.5, "a", 450), (0.5, "ab", 300), (0.5, "abc", 225), (0.25, "a", 225), (1.0, "a", 900)],
)
def test_each_takes_as_much_as_it_leaves_for_one_more(
    share: float, holders: str, each: int
) -> None:
    held = _greedy(Shares(900, share), *holders)

    assert held == dict.fromkeys(holders, each)


def test_newcomer_finds_something_when_others_have_all_they_may() -> None:
    shares = Shares(900, 0.5)
    _greedy(shares, "a", "b")

    assert shares.fits("c", 300)
    assert not shares.fits("c", 301)


def test_holder_may_take_again_when_it_has_given_back() -> None:
    shares = Shares(10, 0.5)
    shares.take("a", 5)
    assert not shares.fits("a", 1)

    shares.give_back("a", 2)

    assert shares.fits("a", 2)
    assert not shares.fits("a", 3)
    shares.give_back("a", 3)
    assert (shares.used, shares.held_by("a")) == (0, 0)


def test_first_amount_fits_when_it_is_more_than_the_share() -> None:
    shares = Shares(10, 0.5)
    assert shares.fits("a", 8)
    assert shares.fits("a", 12), "nobody has anything"
    shares.take("a", 8)

    assert shares.fits("b", 2)
    assert not shares.fits("b", 3)


def test_holder_exceeds_its_share_when_what_it_has_grew_unasked() -> None:
    shares = Shares(10, 0.5)
    shares.take("a", 5)
    assert not shares.exceeds("a")

    shares.take("a", 1)

    assert shares.exceeds("a")
    assert not shares.exceeds("b")


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 40), st.booleans()), max_size=100)
)
def test_no_holder_gets_more_than_half_whatever_is_taken_and_given_back(
    steps: list[tuple[str, int, bool]],
) -> None:
    shares = Shares(100, 0.5)
    for holder, amount, is_taken in steps:
        if is_taken and shares.fits(holder, amount):
            shares.take(holder, amount)
        elif not is_taken and shares.held_by(holder):
            shares.give_back(holder, min(amount, shares.held_by(holder)))
        assert all(shares.held_by(one) <= 50 for one in "abcd")
        assert shares.used == sum(map(shares.held_by, "abcd")) <= 100


@given(
    share=st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]),
    total=st.integers(0, 50),
    taken=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 20)), max_size=6),
    holder=st.sampled_from("abcd"),
    amount=st.integers(1, 30),
)
def test_to_try_to_take_is_to_take_what_fits(
    share: float, total: int, taken: list[tuple[str, int]], holder: str, amount: int
) -> None:
    shares, same = Shares(total, share), Shares(total, share)
    for one, its_amount in taken:
        shares.take(one, its_amount)
        same.take(one, its_amount)

    fits = shares.fits(holder, amount)

    assert same.try_to_take(holder, amount) is fits
    assert same.held_by(holder) == shares.held_by(holder) + amount * fits
    assert same.used == shares.used + amount * fits
