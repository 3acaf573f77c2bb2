"""What is done about ClickHouse's errors."""

from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from services.processor.reactions import Reaction, reaction_to


def test_clickhouse_is_asked_for_its_time_anew_when_a_lease_had_passed() -> None:
    refused = DatabaseError("Constraint lease_has_not_passed is violated", code=469)
    assert reaction_to(refused) is Reaction.RECOVER


def test_table_is_looked_at_when_the_network_failed() -> None:
    assert reaction_to(OperationalError("connection reset")) is Reaction.RECOVER
