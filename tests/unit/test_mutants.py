"""The mutants of `make chaos-mutants` fit the code: each finds what it takes away."""

import pytest

from tests.chaos.mutants import MUTANTS, Mutant
from tests.e2e.processes import CHECKOUT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_fits_the_code(mutant: Mutant) -> None:
    text = (CHECKOUT / mutant.file).read_text("utf-8")
    assert mutant.applied_to(text) != text
