"""What the doctor advises for each kind of error: the next step that is right, and no other.

The errors are made as the drivers make them; tests/contract/test_doctor_errors.py has real ones.
"""

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
from aiohttp import ServerDisconnectedError
from aiokafka import errors as kafka
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from libs.kafka.tokens import NoTokenError
from libs.settings import ClickHouseSettings, KafkaSettings
from services.admin.doctor.advice import advice_of, told
from services.admin.doctor.examination import examine
from services.admin.doctor.findings import Finding
from services.admin.doctor.installation import Installation
from services.admin.doctor.topics import advice_for_missing
from services.admin.noted_topics import NotedTopic
from services.admin.settings import DoctorSettings, DoctorThresholds


def caused(*errors: Exception) -> Exception:
    """The first of them, which the others led to."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def network(*causes: Exception) -> Exception:
    """As ClickHouse's driver tells of it."""
    return caused(OperationalError(f"Network Error: {causes[0]}"), *causes)


def bootstrap(*causes: Exception) -> Exception:
    """As aiokafka tells of it, with what we find out besides."""
    return caused(kafka.KafkaConnectionError("Unable to bootstrap from [...]"), *causes)


def refused(code: int) -> DatabaseError:
    return DatabaseError(f"Received ClickHouse exception, code: {code}", code=code)


def certificate_error(verify_code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = verify_code
    return error


NOBODY = ConnectionRefusedError(111, "Connect call failed")
NO_NAME = socket.gaierror(-2, "Name or service not known")
CLOSED = kafka.KafkaConnectionError("Connection at k:1 closed")
NO_FILE = FileNotFoundError(2, "No such file or directory", "/ca.pem")


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        # the network
        (network(NOBODY), "ClickHouse is up, whether RAGTIME_CLICKHOUSE__URL is right"),
        (network(OSError("Multiple exceptions: …")), "NetworkPolicy"),
        (network(NO_NAME), "correct RAGTIME_CLICKHOUSE__URL, or see this machine's DNS"),
        (network(TimeoutError()), "ClickHouse is up, whether RAGTIME_CLICKHOUSE__URL is right"),
        (network(TimeoutError()), "RAGTIME_DOCTOR__DEADLINE_S"),
        (OperationalError("Network Error"), "ClickHouse is up"),
        (bootstrap(NOBODY), "Kafka is up, whether RAGTIME_KAFKA__BOOTSTRAP_SERVERS is right"),
        (bootstrap(), "Kafka is up, whether RAGTIME_KAFKA__BOOTSTRAP_SERVERS is right"),
        (bootstrap(NO_NAME), "correct RAGTIME_KAFKA__BOOTSTRAP_SERVERS, or see this machine's"),
        (kafka.KafkaTimeoutError(), "Kafka is up"),
        (kafka.RequestTimedOutError(), "RAGTIME_DOCTOR__DEADLINE_S"),
        (kafka.NodeNotReadyError(), "advertised.listeners"),
        (ConnectionError("nobody there"), "the server is up"),
        (TimeoutError(), "RAGTIME_DOCTOR__DEADLINE_S"),
        # TLS
        (network(certificate_error(19)), "Name in RAGTIME_CLICKHOUSE__CA_FILE who signed"),
        (network(certificate_error(62)), "use that one in RAGTIME_CLICKHOUSE__URL"),
        (network(ssl.SSLError(1, "WRONG_VERSION_NUMBER")), "`https://` in RAGTIME_CLICKHOUSE__URL"),
        (network(ConnectionResetError()), "RAGTIME_CLICKHOUSE__CERT_FILE"),
        (network(ServerDisconnectedError()), "`https://` in RAGTIME_CLICKHOUSE__URL"),
        (bootstrap(certificate_error(20)), "Name in RAGTIME_KAFKA__CA_FILE who signed"),
        (bootstrap(certificate_error(64)), "use that one in RAGTIME_KAFKA__BOOTSTRAP_SERVERS"),
        (bootstrap(CLOSED), "RAGTIME_KAFKA__SECURITY_PROTOCOL"),
        (CLOSED, "RAGTIME_KAFKA__CERTIFICATE_FILE"),
        # ClickHouse answers
        (refused(516), "RAGTIME_CLICKHOUSE__USER or RAGTIME_CLICKHOUSE__PASSWORD"),
        (refused(194), "RAGTIME_CLICKHOUSE__USER or RAGTIME_CLICKHOUSE__PASSWORD"),
        (refused(497), '"ClickHouse users" in docs/operating.md'),
        (refused(164), '"ClickHouse users" in docs/operating.md'),
        (refused(60), "`ragtime migrate`"),
        (refused(81), "RAGTIME_CLICKHOUSE__DATABASE"),
        (refused(47), "`ragtime migrate`"),
        (refused(241), "system.processes"),
        (refused(243), "`disk`"),
        (refused(999), "`ragtime doctor --json`"),
        (DatabaseError("HTTP driver received HTTP status 503"), "HTTP_PROXY"),
        # Kafka answers
        (bootstrap(kafka.SaslAuthenticationFailed()), "RAGTIME_KAFKA__PASSWORD"),
        (bootstrap(kafka.UnsupportedSaslMechanismError()), "RAGTIME_KAFKA__SASL_MECHANISM"),
        (bootstrap(NoTokenError("it gave no token")), '"Tokens for Kafka" in docs/operating.md'),
        (kafka.TopicAuthorizationFailedError("events"), 'rights under "Kafka" in docs/operating'),
        (kafka.GroupAuthorizationFailedError("g"), "kafka-acls.sh"),
        (kafka.ClusterAuthorizationFailedError(), "kafka-acls.sh"),
        (kafka.UnknownTopicOrPartitionError("events"), "do as the check `topics` says"),
        (kafka.GroupLoadInProgressError(), "in a minute"),
        # something else
        (ValueError("?"), "`ragtime doctor --json`"),
        (NO_FILE, "`ragtime doctor --json`"),
    ],
)
def test_advice_is_the_next_step_for_each_kind_of_error(error: Exception, advised: str) -> None:
    advice = advice_of(error)
    assert advised in advice
    assert "init" not in advice, "a topic that the tables know would be made anew"
    assert "{" not in advice


def test_advice_is_of_what_began_it_when_an_error_came_of_another() -> None:
    hidden = OperationalError("Network Error")
    hidden.__context__, hidden.__suppress_context__ = certificate_error(20), True
    assert "ClickHouse is up" in advice_of(hidden)
    hidden.__suppress_context__ = False
    assert "CA_FILE" in advice_of(hidden)


def test_cause_is_seen_when_the_error_only_says_that_there_is_one() -> None:
    assert told(bootstrap(kafka.SaslAuthenticationFailed("who?"))) == (
        "KafkaConnectionError: Unable to bootstrap from [...]:"
        " [Error 58] SaslAuthenticationFailed: who?"
    )
    assert told(network(NOBODY)).count("Connect call failed") == 1


async def test_finding_has_the_advice_when_a_check_cannot_run() -> None:
    async def lacks_a_right(_: Installation) -> Finding:
        raise refused(497)

    async def hangs(_: Installation) -> Finding:
        await asyncio.sleep(3600)
        raise AssertionError

    settings = DoctorSettings(
        kafka=KafkaSettings(bootstrap_servers="k:1"),
        clickhouse=ClickHouseSettings.model_validate(
            {"url": "http://c:1", "user": "u", "password": "p"}
        ),
        doctor=DoctorThresholds(deadline_s=0.05),
    )
    checks = {"right": lacks_a_right, "hangs": hangs}
    found = await examine(Installation(settings, AsyncExitStack()), checks)
    assert "ClickHouse users" in found["right"].advice
    assert "RAGTIME_DOCTOR__DEADLINE_S" in found["hangs"].advice


@pytest.mark.parametrize(
    ("missing", "noted", "is_counted", "advised"),
    [
        (["events"], NotedTopic("events", None), False, "Run `ragtime init`"),
        (["letters"], NotedTopic("events", 4), True, "Run `ragtime init`"),
        (["events"], NotedTopic("events", 4), False, "It was made before"),
        (["events", "letters"], NotedTopic("events", 4), True, "Events were counted from it"),
        (["events"], NotedTopic("events#2", None), True, "Events were counted from it"),
    ],
)
def test_topic_is_made_by_init_when_the_tables_know_none(
    missing: list[str], noted: NotedTopic, advised: str, *, is_counted: bool
) -> None:
    advice = advice_for_missing("events" in missing, noted, is_counted=is_counted)
    assert advised in advice
    assert ("init" in advice) is advised.startswith("Run")
