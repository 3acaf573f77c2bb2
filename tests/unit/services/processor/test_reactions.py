"""What the processor does about an error of ClickHouse."""

import pytest
from clickhouse_connect.driver.exceptions import (
    DatabaseError,
    Error,
    OperationalError,
    StreamFailureError,
)

from services.processor.reactions import Reaction, reaction_to


@pytest.mark.parametrize("code", [202, 203])
def test_reaction_is_to_retry_when_the_insert_was_refused_at_the_door(code: int) -> None:
    assert reaction_to(DatabaseError("refused", code=code)) is Reaction.RETRY


@pytest.mark.parametrize("code", [16, 47, 60, 62, 81, 115, 192, 193, 194, 452, 497, 516])
def test_reaction_is_to_call_the_operator_when_only_a_person_can_mend_it(code: int) -> None:
    assert reaction_to(DatabaseError("refused", code=code)) is Reaction.OPERATOR


def test_reaction_is_to_recover_when_a_lease_had_passed() -> None:
    # Nothing was written; but ClickHouse must be asked for its time anew.
    refused = DatabaseError("Constraint lease_has_not_passed is violated", code=469)
    assert reaction_to(refused) is Reaction.RECOVER


@pytest.mark.parametrize("code", [159, 164, 209, 210, 236, 241, 242, 243, 252, 394, 999, 1001])
def test_reaction_is_to_recover_when_something_may_have_been_written(code: int) -> None:
    assert reaction_to(DatabaseError("failed", code=code)) is Reaction.RECOVER


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("the connection was reset"),
        StreamFailureError("cut"),
        DatabaseError("no code", code=None),
        Error(),
    ],
)
def test_reaction_is_to_recover_when_the_error_has_no_code(error: Error) -> None:
    assert reaction_to(error) is Reaction.RECOVER
