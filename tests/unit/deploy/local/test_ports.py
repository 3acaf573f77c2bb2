"""Which ports a stack takes. Free ones are chosen in the integration tests: that needs sockets."""

import pytest

from deploy.local.layout import StackError
from deploy.local.ports import Ports, choose_ports, ignored


def test_ports_are_the_usual_ones_when_nothing_is_set() -> None:
    assert choose_ports({}, {}) == Ports(8080, 8081, 8082, 9092, 9093, 8123)


def test_ports_are_those_of_the_last_start_when_nothing_is_set() -> None:
    assert choose_ports({"query": 18080}, {}).query == 18080


def test_port_of_the_environment_wins_when_another_is_remembered() -> None:
    assert choose_ports({"query": 18080}, {"RAGTIME_QUERY_PORT": "28080"}).query == 28080


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80.5", "²", " "])
def test_port_is_refused_with_its_variable_when_it_is_no_port(text: str) -> None:
    with pytest.raises(StackError, match=r"RAGTIME_KAFKA_CONTROLLER_PORT=.* is not a port"):
        choose_ports({}, {"RAGTIME_KAFKA_CONTROLLER_PORT": text})


def test_port_is_refused_with_both_variables_when_two_want_it() -> None:
    with pytest.raises(StackError, match=r"8081.*RAGTIME_QUERY_PORT or RAGTIME_INGEST_PORT"):
        choose_ports({}, {"RAGTIME_QUERY_PORT": "8081"})


def test_variable_is_named_when_it_asks_a_running_stack_for_another_port() -> None:
    asked = {"RAGTIME_QUERY_PORT": "1234", "RAGTIME_INGEST_PORT": "8081", "RAGTIME_KAFKA_PORT": "0"}

    assert ignored(Ports(), asked) == ["RAGTIME_QUERY_PORT"]
