"""What to do about an error that a check ended with: the next step of an operator. Pure."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka import errors as kafka
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import first_line
from libs.kafka.tokens import NoTokenError


@dataclass(frozen=True, slots=True)
class _Server:
    """What it is called, and the settings that say where it is and how it is spoken to."""

    name: str
    address: str
    tls: str
    ca: str
    certificate: str


_CLICKHOUSE = _Server(
    "ClickHouse",
    "RAGTIME_CLICKHOUSE__URL",
    "`https://` in RAGTIME_CLICKHOUSE__URL",
    "RAGTIME_CLICKHOUSE__CA_FILE",
    "RAGTIME_CLICKHOUSE__CERT_FILE",
)
_KAFKA = _Server(
    "Kafka",
    "RAGTIME_KAFKA__BOOTSTRAP_SERVERS",
    "RAGTIME_KAFKA__SECURITY_PROTOCOL",
    "RAGTIME_KAFKA__CA_FILE",
    "RAGTIME_KAFKA__CERTIFICATE_FILE",
)
_ANY = _Server(
    "the server",
    "the address that is set",
    "its setting",
    "the setting of its CA",
    "the setting of our certificate",
)

_REACH = (
    "See whether {name} is up, whether {address} is right, and whether the network (a firewall, a"
    " NetworkPolicy) lets this machine reach it."
)
_TIMEOUT = f"{_REACH} RAGTIME_DOCTOR__DEADLINE_S gives one that is slow more time."
_NO_ADDRESS = "No address is known of this name: correct {address}, or see this machine's DNS."
_HANGS_UP = (
    "Somebody answers there and hangs up: see whether that port speaks TLS and we do ({tls}), and"
    " whether it asks for a certificate of ours ({certificate}). The log of {name} says why."
)
_UNKNOWN_CA = (
    "Name in {ca} who signed the certificate of {name}, and see whether it is still valid:"
    ' "TLS to other servers" in docs/operating.md.'
)
_OTHER_NAME = (
    "The certificate of {name} is for another name: use that one in {address}, or give it a"
    " certificate for this one."
)
_OTHER_TLS = (
    "TLS was not agreed on: see whether that port speaks it ({tls}), and the log of {name}."
)
_OTHER_SERVER = (
    "Something else than ClickHouse answers there, a proxy say: correct RAGTIME_CLICKHOUSE__URL,"
    " and see whether HTTP_PROXY is set."
)
_UNKNOWN = (
    "See the log of the server that is asked; where that says nothing, tell us of it, with what"
    " `ragtime doctor --json` prints."
)

_CLICKHOUSE_LOGIN = (
    "Correct RAGTIME_CLICKHOUSE__USER or RAGTIME_CLICKHOUSE__PASSWORD: ClickHouse does not let"
    " this user in, or not from this address."
)
_CLICKHOUSE_RIGHTS = (
    'Grant the user what "ClickHouse users" in docs/operating.md lists for `ragtime doctor`;'
    " deploy/clickhouse/users.d has it as the user `admin`."
)
_CLICKHOUSE_TABLES = (
    "Run `ragtime migrate`, or correct RAGTIME_CLICKHOUSE__DATABASE. Where the check `migrations`"
    " says that all are applied, do as it says."
)
_CLICKHOUSE_BUSY = (
    "ClickHouse is up, and has no time or memory for this: see in system.processes what it does,"
    " and run the doctor again."
)
_OF_CODES = {
    **dict.fromkeys((192, 193, 194, 516), _CLICKHOUSE_LOGIN),
    **dict.fromkeys((164, 497), _CLICKHOUSE_RIGHTS),
    **dict.fromkeys((16, 47, 60, 81), _CLICKHOUSE_TABLES),  # a column, a name, a table, a database
    **dict.fromkeys((159, 202, 241), _CLICKHOUSE_BUSY),  # too slow, too many, too large
    243: "Free or add space: see the check `disk`.",
}

_KAFKA_LOGIN = (
    "Correct RAGTIME_KAFKA__USERNAME, RAGTIME_KAFKA__PASSWORD or RAGTIME_KAFKA__SASL_MECHANISM:"
    " Kafka does not let this user in."
)
_KAFKA_RIGHTS = (
    'Grant the user what the table of rights under "Kafka" in docs/operating.md lists for'
    " `ragtime doctor`; kafka-acls.sh does it."
)
_KAFKA_TOPIC = "A topic is not there, or this user may not see it: do as the check `topics` says."
_KAFKA_NODES = (
    "A broker was found by RAGTIME_KAFKA__BOOTSTRAP_SERVERS, and the address that it tells"
    " (advertised.listeners) does not answer us, or it does not take our token: see its log."
)
_KAFKA_STARTS = "A broker starts, or a new one takes over: run the doctor again in a minute."
_OF_KAFKA: dict[tuple[type[Exception], ...], str] = {
    (NoTokenError,): ('Mend what hands over the token: "Tokens for Kafka" in docs/operating.md.'),
    (
        kafka.SaslAuthenticationFailed,
        kafka.AuthenticationFailedError,
        kafka.AuthenticationMethodNotSupported,
        kafka.UnsupportedSaslMechanismError,
        kafka.IllegalSaslStateError,
    ): _KAFKA_LOGIN,
    (
        kafka.TopicAuthorizationFailedError,
        kafka.GroupAuthorizationFailedError,
        kafka.ClusterAuthorizationFailedError,
    ): _KAFKA_RIGHTS,
    (kafka.UnknownTopicOrPartitionError,): _KAFKA_TOPIC,
    (kafka.NodeNotReadyError,): _KAFKA_NODES,
    (
        kafka.GroupCoordinatorNotAvailableError,
        kafka.GroupLoadInProgressError,
        kafka.NotCoordinatorForGroupError,
        kafka.LeaderNotAvailableError,
        kafka.NotLeaderForPartitionError,
    ): _KAFKA_STARTS,
    (kafka.KafkaTimeoutError, kafka.RequestTimedOutError): _TIMEOUT,
}
# Numbers of OpenSSL: the name, or the address, is not that of the certificate.
_OTHER_NAMES = frozenset({62, 64})


def told(error: Exception) -> str:
    """What is seen of an error; with its cause, where it only says that there is one."""
    cause = error.__cause__
    if isinstance(error, kafka.KafkaConnectionError) and isinstance(cause, Exception):
        return f"{_named(error)}: {_named(cause)}"
    return _named(error)


def _named(error: Exception) -> str:
    name, line = type(error).__name__, first_line(error)
    return line if name in line else f"{name}: {line}"


def advice_of(error: BaseException) -> str:
    """The next step: of what began it, else of what was made of that."""
    chain = list(_chain(error))
    server = next((found for one in chain if (found := _server_of(one))), _ANY)
    advices = (_of_clickhouse(one) or _of_kafka(one) or _of_network(one) for one in chain[::-1])
    advice = next(filter(None, advices), _UNKNOWN)
    return advice.format(
        name=server.name,
        address=server.address,
        tls=server.tls,
        ca=server.ca,
        certificate=server.certificate,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it; what began it is the last."""
    next_: BaseException | None = error
    while next_ is not None:
        yield next_
        next_ = next_.__cause__ or (None if next_.__suppress_context__ else next_.__context__)


def _server_of(error: BaseException) -> _Server | None:
    if isinstance(error, Error):
        return _CLICKHOUSE
    return _KAFKA if isinstance(error, kafka.KafkaError) else None


def _of_clickhouse(error: BaseException) -> str:
    """Of an error that ClickHouse answered with, or that stands for no answer."""
    if not isinstance(error, Error):
        return ""
    if error.code is not None:
        return _OF_CODES.get(error.code, _UNKNOWN)
    if "HTTP status" in str(error):
        return _OTHER_SERVER
    if "Server disconnected" in str(error):
        return _HANGS_UP
    return _REACH if "Network Error" in str(error) else ""


def _of_kafka(error: BaseException) -> str:
    for kinds, advice in _OF_KAFKA.items():
        if isinstance(error, kinds):
            return advice
    if isinstance(error, kafka.KafkaConnectionError):
        return _HANGS_UP if "closed" in str(error) else _REACH
    return ""


def _of_network(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _OTHER_NAME if getattr(error, "verify_code", 0) in _OTHER_NAMES else _UNKNOWN_CA
    if isinstance(error, ssl.SSLError):
        return _OTHER_TLS
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _HANGS_UP
    if isinstance(error, socket.gaierror):
        return _NO_ADDRESS
    if isinstance(error, TimeoutError):
        return _TIMEOUT
    is_of_a_file = isinstance(error, OSError) and error.filename is not None
    return _REACH if isinstance(error, OSError) and not is_of_a_file else ""
