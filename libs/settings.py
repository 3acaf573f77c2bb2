"""Settings blocks that services share. Each service nests what it needs in a class of its own.

Environment variables are named `RAGTIME_<BLOCK>__<FIELD>`. All values are checked when a service
starts, before it opens a socket, and all errors are listed at once.
"""

import json
import os
import re
import shlex
import shutil
import ssl
import sys
from collections.abc import Container, Iterable
from difflib import get_close_matches
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import takewhile
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from libs.secret_files import IN_FILE, SUFFIX, Secret, with_files
from libs.tls_files import TlsFiles

ENVIRONMENT_PREFIX = "RAGTIME_"

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Rate = Annotated[int, Field(ge=1, le=1_000_000)]

# How alike a name must be to one of ours to be told.
_NEARLY = 0.8
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_LAST_PORT = 65_535
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BLOCK = re.compile(r'field "(\w+)"')
# As RFC 7628 has them; `auth` is the token itself.
_EXTENSION = re.compile(r"(?!auth=)[A-Za-z]+=[!-~]+")
# `null` is a page from a file or in a sandbox, other schemes are those of apps.
_SPECIAL_ORIGINS = ("*", "null", "file://")
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
ENCRYPTED_STORES = ("valkeys", "rediss")
_STORE_SCHEMES = ("valkey", "redis", *ENCRYPTED_STORES)


def _url_of_a_server(url: str, schemes: Container[str]) -> SplitResult | None:
    """Its parts; None where it names no server by one of these schemes."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:  # the port is none
        return None
    return parts if is_one else None


def _is_store_url(secret: SecretStr) -> SecretStr:
    """A URL that the driver will take. What is wrong is told without the URL: it is a secret."""
    if _url_of_a_server(secret.get_secret_value(), _STORE_SCHEMES) is None:
        schemes = ", ".join(_STORE_SCHEMES)
        raise ValueError(f"must be scheme://user:password@host:port/number, a scheme of {schemes}")
    return secret


def _parts(value: object) -> object:
    """The values of a list: its parts between commas, or JSON."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be values with commas between them, or a JSON list") from None


# Before the type of a list that is read from one variable.
Listed = (NoDecode, BeforeValidator(_parts))


def _network(value: object) -> object:
    """A network, or one address."""
    try:
        return ip_network(str(value))
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8, or addresses") from None


Networks = Annotated[
    tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], *Listed
]


def _is_address_list(text: str) -> str:
    """What Kafka's client will take; it would find out later, and try for ever."""
    servers = [server.strip() for server in text.split(",")]
    ports = [found[1] for found in map(_SERVER.fullmatch, servers) if found is not None]
    if len(ports) < len(servers) or not all(0 < int(port) <= _LAST_PORT for port in ports):
        raise ValueError("must be host:port, several separated by commas")
    return ",".join(servers)


def _is_topic(name: str) -> str:
    """What Kafka takes for the name of a topic."""
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise ValueError("must be 1 to 249 characters of A-Z a-z 0-9 . _ -")
    return name


Topic = Annotated[str, AfterValidator(_is_topic)]


def _is_url_of_a_server(url: str) -> str:
    """A server and nothing else. One with a password would stand in logs, and beside another."""
    parts = _url_of_a_server(url, _DEFAULT_PORTS)
    if parts is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be http://host:port or https://host:port")
    if "@" in parts.netloc:
        raise ValueError("must name no user or password: USER and PASSWORD do")
    return url


def _can_be_read(path: Path) -> Path:
    """Tried, as a file in a folder that may not be entered does not even tell that it is one."""
    try:
        with path.open("rb"):
            return path
    except OSError:
        raise ValueError("must name a file that can be read") from None


ReadableFile = Annotated[Path, AfterValidator(_can_be_read)]


def _as_browsers_write_it(origin: str) -> str:
    """An origin as it comes in the header of that name: one written otherwise would match none."""
    origin = origin.lower()
    if origin in _SPECIAL_ORIGINS:
        return origin
    found = _ORIGIN.fullmatch(origin)
    port = int(found["port"] or _LAST_PORT) if found else 0
    if not 0 < port <= _LAST_PORT or port == _DEFAULT_PORTS.get(origin.partition(":")[0]):
        raise ValueError(
            "must be origins such as https://a.example, without a path, a user, or the port that"
            " belongs to the scheme; names in other alphabets as xn--…"
        )
    return origin


def _is_command(text: str) -> str:
    """A command that is there. It is not told: an argument may be a secret."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or shutil.which(words[0]) is None:
        raise ValueError("must be a command that is there, with its arguments")
    return text


def _are_extensions(given: tuple[str, ...]) -> tuple[str, ...]:
    """What a broker can read; it would refuse the connection for one that it cannot."""
    names = [one.partition("=")[0] for one in given]
    if len({*names}) < len(names) or not all(_EXTENSION.fullmatch(one) for one in given):
        raise ValueError("must be name=value, names of letters, each once and none `auth`")
    return given


class Block(BaseModel):
    """A group of settings that belong to one neighbour.

    `others_read`: fields that another service has in its block of this name. One file may tell the
    settings of all services: what is another one's is no mistake, as any other name is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    others_read: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _take_what_is_ours(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        foreign = cls.others_read - cls.model_fields.keys()
        ours = {name: value for name, value in given.items() if name not in foreign}
        return with_files(cls, ours)


class KafkaSettings(Block):
    """Where the events go through."""

    bootstrap_servers: Annotated[str, AfterValidator(_is_address_list)] = Field(
        description="`host:port`, several separated by commas"
    )
    events_topic: Topic = Field("events", description="the topic of events")
    dead_letter_topic: Topic = Field(
        "events.dead-letter", description="the topic of lines that are no valid event"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="how brokers are spoken to: `SSL` is TLS, `SASL` with a user; see"
        " [Kafka](operating.md#kafka)",
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="how the user is shown; `OAUTHBEARER`: by a token"
    )
    username: str | None = Field(
        None, description="of the user; for `SASL` alone, and not for `OAUTHBEARER`"
    )
    password: Secret | None = Field(None, description="likewise")
    token_file: ReadableFile | None = Field(
        None,
        description="with [a token](operating.md#tokens-for-kafka) for `OAUTHBEARER`, read anew for"
        " each connection",
    )
    token_command: Annotated[str, AfterValidator(_is_command)] | None = Field(
        None,
        description="a command and its arguments, without a shell, that writes such a token within"
        " 10 s",
    )
    sasl_extensions: Annotated[tuple[str, ...], *Listed, AfterValidator(_are_extensions)] = Field(
        (),
        description="what brokers want to know beside a token:"
        " `logicalCluster=lkc-1,identityPoolId=pool-1`",
    )
    ca_file: ReadableFile | None = Field(
        None, description="PEM: who signs the brokers' certificates, if the system does not know"
    )
    certificate_file: ReadableFile | None = Field(
        None, description="PEM: a certificate of ours, where brokers ask for one; with `KEY_FILE`"
    )
    key_file: ReadableFile | None = Field(None, description="PEM: the key of that certificate")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        has_sasl = "SASL" in self.security_protocol
        has_token = has_sasl and self.sasl_mechanism == "OAUTHBEARER"
        if {self.username is not None, self.password is not None} != {has_sasl and not has_token}:
            raise ValueError(
                "USERNAME and PASSWORD belong to a SECURITY_PROTOCOL with SASL, and not to"
                " OAUTHBEARER"
            )
        if [self.token_file is None, self.token_command is None].count(False) != has_token:
            raise ValueError(
                "TOKEN_FILE or TOKEN_COMMAND, one of both, belongs to SASL by OAUTHBEARER"
            )
        if self.sasl_extensions and not has_token:
            raise ValueError("SASL_EXTENSIONS belong to SASL by OAUTHBEARER")
        is_encrypted = "SSL" in self.security_protocol
        self._files.check("a SECURITY_PROTOCOL with SSL", is_encrypted=is_encrypted)
        return self

    @property
    def _files(self) -> TlsFiles:
        return TlsFiles(self.ca_file, self.certificate_file, self.key_file)

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """What connections by TLS are made with; None where they are made without.

        The files are read once: some clients are made anew each few seconds.
        """
        return self._files.context() if "SSL" in self.security_protocol else None


class ClickHouseSettings(Block):
    """Where the events are counted. Each service has a user of its own with the least it needs."""

    url: Annotated[str, AfterValidator(_is_url_of_a_server)] = Field(
        description="`http://host:port` or `https://host:port`"
    )
    user: str = Field(description="[one for each service](operating.md#clickhouse-users)")
    password: Secret = Field(description="of that user")
    database: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        "ragtime", description="where the tables are; letters, digits and `_`"
    )
    timeout_s: Seconds = Field(30.0, description="how long a statement may take")
    ca_file: ReadableFile | None = Field(
        None, description="PEM: who signs the server's certificate, if the system does not know"
    )
    cert_file: ReadableFile | None = Field(
        None, description="PEM: a certificate of ours, where the server asks; with `KEY_FILE`"
    )
    key_file: ReadableFile | None = Field(None, description="PEM: the key of that certificate")

    @model_validator(mode="after")
    def _files_fit(self) -> Self:
        is_encrypted = self.url.startswith("https:")
        self.tls_files.check("a URL that begins with https://", is_encrypted=is_encrypted)
        return self

    @property
    def tls_files(self) -> TlsFiles:
        """What connections by TLS are made with, beside what the system trusts."""
        return TlsFiles(self.ca_file, self.cert_file, self.key_file)


class ConsumerGroup(Block):
    """The consumer group, which spreads the partitions over the processors."""

    others_read = frozenset({"instance", "session_timeout_s"})
    name: str = Field("ragtime-processor", description="its name; the same for all processors")


class MemorySettings(Block):
    """What a processor may remember to find duplicates without asking ClickHouse."""

    max_bytes: Annotated[int, Field(ge=1024 * 1024)] = Field(
        512 * 1024 * 1024,
        description="of identities of the last day, 16 bytes an event or conversation; beyond it"
        " [counting is slower](operating.md#memory-of-the-processor), and as exact",
    )


class AccessSettings(Block):
    """How API keys are checked."""

    pepper: Annotated[Secret, Field(min_length=32)] = Field(
        description="HMAC key of the stored [API keys](operating.md#api-keys); the same for all"
    )
    previous_pepper: Annotated[Secret, Field(min_length=32)] | None = Field(
        default=None, description="accepted too, [while keys rotate](operating.md#a-new-pepper)"
    )
    refresh_interval_s: Annotated[float, Field(gt=0, le=4)] = Field(
        2.0, description="how often it is looked what has changed in the keys"
    )
    max_unread_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        60.0,
        description="how long the keys may [go unread](operating.md#keys-that-cannot-be-read)"
        " though ClickHouse answers; then the service is not ready, after ten times as long it"
        " answers 503",
    )
    max_outage_s: Annotated[float, Field(ge=60, le=30 * 86_400)] = Field(
        86_400.0,
        description="how long the service goes on with the keys that it knows while ClickHouse is"
        " away; then it is not ready, and answers 503",
    )


class RateLimitSettings(Block):
    """Where limits are counted, and that of callers who show no valid key."""

    others_read = frozenset({"per_key", "events_per_key", "requests_per_key"})
    store_url: Annotated[Secret, AfterValidator(_is_store_url)] | None = Field(
        default=None,
        description="Valkey or Redis that all replicas share; see [limits](operating.md#limits)",
    )
    store_ca_file: ReadableFile | None = Field(
        None, description="PEM: who signs the store's certificate, if the system does not know"
    )
    store_cert_file: ReadableFile | None = Field(
        None, description="PEM: a certificate of ours, where the store asks; with `STORE_KEY_FILE`"
    )
    store_key_file: ReadableFile | None = Field(
        None, description="PEM: the key of that certificate"
    )
    store_timeout_s: Annotated[float, Field(ge=0.02, le=5)] = Field(
        0.05, description="how long a request waits for the store before memory decides"
    )
    per_address: Rate = Field(
        30, description="requests a minute of an address that shows no valid key"
    )

    @model_validator(mode="after")
    def _files_fit(self) -> Self:
        url = "" if self.store_url is None else self.store_url.get_secret_value()
        is_encrypted = urlsplit(url).scheme in ENCRYPTED_STORES
        place = "a STORE_URL that begins with valkeys:// or rediss://"
        self.tls_files.check(place, is_encrypted=is_encrypted)
        return self

    @property
    def tls_files(self) -> TlsFiles:
        """What connections by TLS are made with, beside what the system trusts."""
        return TlsFiles(self.store_ca_file, self.store_cert_file, self.store_key_file)


class HttpSettings(Block):
    """The socket that a service listens on."""

    host: str = Field(
        "127.0.0.1", description="the address; `0.0.0.0` in a container, `::` for IPv6 and IPv4"
    )
    port: Port = Field(description="the API, health and metrics; the processor has no API")
    metrics_port: Port | None = Field(
        None,
        description="for [`/metrics`](operating.md#metrics) alone, which the port above does not"
        " answer then",
    )

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port == self.port:
            raise ValueError("METRICS_PORT must be another one than PORT")
        return self


class DoorSettings(HttpSettings):
    """What strangers who come in by that socket may take: time, connections, other origins."""

    head_timeout_s: Seconds = Field(10.0, description="for a request's line and headers")
    min_body_bytes_per_s: Annotated[int, Field(ge=1)] = Field(
        512, description="of a body that is on its way; a slower one is cut off"
    )
    body_window_s: Seconds = Field(20.0, description="over which that rate is taken")
    max_connections: Annotated[int, Field(ge=1)] = Field(
        900, description="open at once; keep it below `ulimit -n`"
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5,
        description="of connections, memory and statements: what one key or address"
        " [may hold at most](operating.md#shares)",
    )
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_as_browsers_write_it)], ...], *Listed
    ] = Field(
        (),
        description="whose [web pages](operating.md#web-pages) may read answers:"
        " `https://a.example,https://b.example`; `*` for all",
    )


class StopSettings(Block):
    """How a service ends when it is told to."""

    others_read = frozenset({"delay_s"})
    grace_s: Seconds = Field(7.0, description="for what is under way then; what is left is cut off")


class DoorStopSettings(StopSettings):
    """How a service ends that others send requests to."""

    delay_s: Annotated[float, Field(ge=0, le=600)] = Field(
        0.0,
        description="how long it still takes requests after SIGTERM, while it says that it is not"
        " ready; see [stopping](operating.md#stopping-and-restarting)",
    )


class TraceSettings(Block):
    """Where traces are sent. Without an endpoint there are none."""

    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        None,
        description="where [traces](operating.md#traces) are sent by OTLP over HTTP:"
        " `http://collector:4318/v1/traces`",
    )
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="of the requests that no caller has decided about"
    )
    ca_file: ReadableFile | None = Field(
        None, description="PEM: who signs the collector's certificate, if the system does not know"
    )
    cert_file: ReadableFile | None = Field(
        None, description="PEM: a certificate of ours, where the collector asks; with `KEY_FILE`"
    )
    key_file: ReadableFile | None = Field(None, description="PEM: the key of that certificate")

    @model_validator(mode="after")
    def _files_fit(self) -> Self:
        is_encrypted = (self.endpoint or "").startswith("https:")
        self.tls_files.check("an ENDPOINT that begins with https://", is_encrypted=is_encrypted)
        return self

    @property
    def tls_files(self) -> TlsFiles:
        """What connections by TLS are made with."""
        return TlsFiles(self.ca_file, self.cert_file, self.key_file)


class LogSettings(Block):
    """How much is logged."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is written"
    )


class ServiceSettings(BaseSettings):
    """The base of each service's settings: read from the environment, never changed afterwards."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        nested_model_default_partial_update=True,  # a host alone keeps the default port
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    log: LogSettings = LogSettings()


S = TypeVar("S", bound=BaseSettings)


def load_settings(settings: type[S]) -> S:
    """The settings of a service, or exit code 2 after one line for each that is wrong.

    A name that nobody knows and that is nearly one of ours is told, and no error.
    """
    _tell(doubts(settings, os.environ))
    try:
        return settings()
    except ValidationError as errors:
        _tell(complaints(settings, errors))
    except SettingsError as error:  # of a whole block in one variable; its text may hold a value
        block = _BLOCK.search(str(error))
        name = f"{ENVIRONMENT_PREFIX}{block[1].upper()}" if block else f"{ENVIRONMENT_PREFIX}*"
        _tell([f"{name}: must be JSON; or set {name}__… one by one"])
    sys.exit(2)


def _tell(lines: Iterable[str]) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def doubts(settings: type[BaseSettings], names: Iterable[str]) -> list[str]:
    """One line for each variable that is probably misspelt. Others may be another service's."""
    known = {field.upper() for field in settings.model_fields}
    lines = []
    for name in sorted(names):
        block, *rest = name.removeprefix(ENVIRONMENT_PREFIX).split("__")
        if name.startswith(ENVIRONMENT_PREFIX) and block not in known:
            for meant in get_close_matches(block, known, n=1, cutoff=_NEARLY):
                right = ENVIRONMENT_PREFIX + "__".join([meant, *rest])
                lines.append(f"{name}: there is no such setting; {right} is one")
    return lines


def complaints(settings: type[BaseSettings], errors: ValidationError) -> list[str]:
    """One line for each wrong setting, by the name of its environment variable; never a value."""
    prefix = settings.model_config.get("env_prefix", "")
    lines = [
        f"{prefix}{'__'.join(path).upper()}: {_told_of(settings, error, path)}"
        for error in errors.errors(include_url=False, include_input=False, include_context=False)
        for path in _places(settings, error)
    ]
    return [*dict.fromkeys(lines)]


def _told_of(settings: type[BaseModel], error: ErrorDetails, path: list[str]) -> str:
    """What is wrong with a setting; of one that nobody knows also which one is meant."""
    if error["type"] != "extra_forbidden" or (block := _block(settings, path[0])) is None:
        return error["msg"]
    meant = get_close_matches(path[-1], block.model_fields, n=1, cutoff=_NEARLY)
    right = "".join(f"; {one.upper()} is one" for one in meant)
    return f"there is no such setting{right}"


def _block(settings: type[BaseModel], name: str) -> type[Block] | None:
    """The block of settings of this name; None where it is one setting, or none."""
    block = settings.model_fields[name].annotation
    return block if isinstance(block, type) and issubclass(block, Block) else None


def _places(settings: type[BaseModel], error: ErrorDetails) -> list[list[str]]:
    # What is wrong with one value of a list is wrong with the variable that holds the list.
    place = [str(part) for part in takewhile(lambda part: isinstance(part, str), error["loc"])]
    if error["type"] == IN_FILE:
        place[-1] += SUFFIX
    # A block of which nothing is set is reported as one field: name what it needs instead.
    is_whole = error["type"] == "missing" and len(place) == 1
    if is_whole and (block := _block(settings, place[0])) is not None:
        fields = block.model_fields.items()
        return [[*place, name] for name, field in fields if field.is_required()]
    return [place]
