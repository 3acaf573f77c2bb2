"""How many keys count by their name, and how much memory that takes."""

import pytest

from services.ingest.cardinality import Cardinality, Scope

SCOPE: Scope = ("museum", True, "source", 739_000)


def keys(first: int, last: int) -> list[str]:
    return [f"src-{number}" for number in range(first, last)]


@pytest.mark.parametrize("most", [10, 1_000, 3_000])
def test_keys_count_by_name_up_to_the_limit_and_as_other_beyond(most: int) -> None:
    cardinality = Cardinality(most, 1 << 20)
    assert cardinality.others(SCOPE, keys(0, most)) == ()
    beyond = cardinality.others(SCOPE, keys(most, 2 * most))
    # A filter takes a few new keys for known ones.
    assert len(beyond) >= most * 0.99
    assert set(beyond) <= set(keys(most, 2 * most))


def test_keys_that_were_there_before_the_limit_keep_their_names() -> None:
    cardinality = Cardinality(2_000, 1 << 20)
    cardinality.others(SCOPE, keys(0, 5_000))
    assert cardinality.others(SCOPE, keys(0, 2_000)) == ()


def test_key_that_is_given_twice_is_one() -> None:
    cardinality = Cardinality(1, 1 << 20)
    assert cardinality.others(SCOPE, ["a", "b", "a", "b"]) == ("b",)


@pytest.mark.parametrize(
    "other",
    [
        ("zoo", True, "source", 739_000),
        ("museum", False, "source", 739_000),
        ("museum", True, "action", 739_000),
        ("museum", True, "source", 739_001),
    ],
)
def test_limit_is_one_of_project_mode_category_and_day(other: Scope) -> None:
    cardinality = Cardinality(10, 1 << 20)
    cardinality.others(SCOPE, keys(0, 100))
    assert cardinality.others(other, keys(0, 10)) == ()


def test_neighbour_keeps_its_names_when_another_project_fills_the_memory() -> None:
    cardinality = Cardinality(2_000, 256 * 1024)
    mine: Scope = ("zoo", True, "action", 739_000)
    assert cardinality.others(mine, keys(0, 10)) == ()
    for day in range(200):
        cardinality.others(("museum", True, "source", day), keys(0, 4_000))
        assert cardinality.others(mine, keys(0, 10)) == ()
    remembered = [*cardinality._new.values(), *cardinality._old.values()]
    assert sum(len(one.bits or b"") for one in remembered) < 256 * 1024
