"""The whole product beside a broker by TLS that asks for a password, certificate or token."""

import base64
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from deploy.local import kafka
from deploy.local.layout import Layout, layout
from tests.e2e.processes import run_command, try_command
from tests.e2e.stack import environment_of, services_of, started
from tests.own_servers import running_servers
from tests.ports import free_port
from tests.servers import Servers

pytestmark = pytest.mark.e2e

USER, PASSWORD = "ragtime", secrets.token_urlsafe(12)
_PROPERTIES = """
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_SSL,NAMED:SSL,\
TOKENS:SASL_SSL
listener.name.users.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.users.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.users.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.tokens.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.named.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
"""


@dataclass(frozen=True)
class Broker:
    """A broker with a listener for users, and one each for a certificate and for a token."""

    servers: Servers
    users: str
    named: str
    tokens: str
    ca: Path
    certificate: Path
    key: Path

    def as_user(self, mechanism: str, password: str = PASSWORD) -> dict[str, str]:
        """The settings of a client that has a password."""
        return {
            "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": self.users,
            "RAGTIME_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "RAGTIME_KAFKA__SASL_MECHANISM": mechanism,
            "RAGTIME_KAFKA__USERNAME": USER,
            "RAGTIME_KAFKA__PASSWORD": password,
            "RAGTIME_KAFKA__CA_FILE": str(self.ca),
        }

    def by_certificate(self) -> dict[str, str]:
        """The settings of a client that has a certificate."""
        return {
            "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": self.named,
            "RAGTIME_KAFKA__SECURITY_PROTOCOL": "SSL",
            "RAGTIME_KAFKA__CA_FILE": str(self.ca),
            "RAGTIME_KAFKA__CERTIFICATE_FILE": str(self.certificate),
            "RAGTIME_KAFKA__KEY_FILE": str(self.key),
        }

    def by_token(self, file: Path) -> dict[str, str]:
        """The settings of a client that has a token in a file."""
        return {
            "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": self.tokens,
            "RAGTIME_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "RAGTIME_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
            "RAGTIME_KAFKA__TOKEN_FILE": str(file),
            # The broker reads them, and refuses a connection where it cannot.
            "RAGTIME_KAFKA__SASL_EXTENSIONS": "logicalCluster=lkc-1,identityPoolId=pool-1",
            "RAGTIME_KAFKA__CA_FILE": str(self.ca),
        }


def token(valid_s: float = 3600) -> str:
    """One that nobody signed: the tests' broker looks at its times alone."""
    claims = {"sub": USER, "iat": time.time() - 60, "exp": time.time() + valid_s}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("secure")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca := folder / "ca.pem")
    own = authority.issue_cert("127.0.0.1")
    certificate = folder / "certificate.pem"
    certificate.write_bytes(b"".join(pem.bytes() for pem in own.cert_chain_pems))
    (key := folder / "key.pem").write_bytes(_as_pkcs8(own.private_key_pem.bytes()))
    (keys := folder / "keys.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    users, named, tokens = (f"127.0.0.1:{free_port()}" for _ in range(3))

    def change(where: Layout) -> None:
        file = where.kafka / "server.properties"
        more = f"listeners=USERS://{users},NAMED://{named},TOKENS://{tokens},PLAINTEXT://"
        text = file.read_text("utf-8").replace("listeners=PLAINTEXT://", more)
        values = {"user": USER, "password": PASSWORD, "keys": keys, "ca": ca}
        file.write_text(text + _PROPERTIES.format(**values), "utf-8")

    with running_servers(folder / "servers", change) as (_, found):
        _add_user(found.kafka)
        yield Broker(found, users, named, tokens, ca, certificate, key)


@pytest.fixture(scope="module")
def plain(broker: Broker) -> dict[str, str]:
    """What the command needs, without how it reaches Kafka; for tests that count nothing."""
    return environment_of(broker.servers)


def _as_pkcs8(pem: bytes) -> bytes:
    """Kafka takes no other form of a key."""
    key = load_pem_private_key(pem, password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _add_user(address: str) -> None:
    change = ["--alter", "--add-config", f"SCRAM-SHA-512=[password={PASSWORD}]"]
    whom = ["--bootstrap-server", address, "--entity-type", "users", "--entity-name", USER]
    command = kafka.command(layout().cache, "kafka.admin.ConfigCommand", *whom, *change)
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "certificate", "token"])
def test_events_are_counted_when_the_broker_lets_in_only_whom_it_knows(
    broker: Broker, tmp_path: Path, way: str
) -> None:
    plain = environment_of(broker.servers)
    (shown := tmp_path / "token").write_text(token())
    others = {"certificate": broker.by_certificate(), "token": broker.by_token(shown)}
    secure = others.get(way) or broker.as_user(way)
    run_command(plain | secure, "init")
    services = services_of(broker.servers, plain | secure, tmp_path)
    with started(plain, services) as stack:
        (project,) = stack.new_projects(1)
        message = {"type": "chat.message", "role": "user", "sessionId": "s", "conversationId": "c"}
        stack.post_events(project, [message])
        stack.topics.write([b"no json"], 0)
        stack.wait_until_counted()
        (row,) = stack.analytics(project, category="usage")["stats"]
        assert (row["key"], row["value"]) == ("public", 1)
        assert [letter.value for letter in stack.topics.read_dead_letters()] == [b"no json"]
        audited = try_command(plain | secure, "audit", "--every-record")
        assert audited.code == 0, audited
        listed = try_command(plain | secure, "dead-letters", "list")
        assert b"not_json" in listed.stdout
        secret = shown.read_text() if way == "token" else PASSWORD
        assert not any(secret in log for log in stack.logs().values())


def test_topics_are_told_when_the_user_shows_his_password_in_plain(
    broker: Broker, plain: dict[str, str]
) -> None:
    environment = plain | broker.as_user("PLAIN")
    run_command(environment, "init")
    assert try_command(environment, "topics").code == 0


def test_topics_are_told_when_a_command_writes_the_token(
    broker: Broker, plain: dict[str, str], tmp_path: Path
) -> None:
    (shown := tmp_path / "token").write_text(token())
    given = broker.by_token(shown)
    given["RAGTIME_KAFKA__TOKEN_COMMAND"] = f"cat {given.pop('RAGTIME_KAFKA__TOKEN_FILE')}"
    environment = plain | given
    run_command(environment, "init")
    assert try_command(environment, "topics").code == 0


@pytest.mark.parametrize(
    ("content", "why"),
    # aiokafka reads no answer to a token: it learns from the next one that it was not let in.
    [(token(-30), "NodeNotReadyError"), ("", "RAGTIME_KAFKA__TOKEN_FILE gave no token")],
)
def test_command_ends_without_telling_the_token_when_it_is_none(
    broker: Broker, plain: dict[str, str], tmp_path: Path, content: str, why: str
) -> None:
    (shown := tmp_path / "token").write_text(content)
    done = try_command(plain | broker.by_token(shown), "topics")
    assert done.code == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert not content or content not in done.stderr


@pytest.mark.parametrize(
    ("change", "why", "advised"),
    [
        ({"PASSWORD": "no-such-password"}, "SaslAuthenticationFailed", "__PASSWORD"),
        ({"CA_FILE": ""}, "CERTIFICATE_VERIFY_FAILED", "__CA_FILE"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CA_FILE": ""}, "closed", "__SECURITY_PROTOCOL"),
    ],
)
def test_command_says_why_when_kafka_does_not_let_it_in(
    broker: Broker, plain: dict[str, str], change: dict[str, str], why: str, advised: str
) -> None:
    environment = plain | broker.as_user("SCRAM-SHA-512")
    environment |= {f"RAGTIME_KAFKA__{name}": value for name, value in change.items()}
    environment = {name: value for name, value in environment.items() if value}
    examined = json.loads(try_command(environment, "doctor", "--json").stdout)["checks"]
    of_kafka = {one["name"]: one for one in examined}
    for name in ("kafka", "topics", "processors", "lag", "dead-letters"):
        assert why in of_kafka[name]["seen"]
        assert f"RAGTIME_KAFKA{advised}" in of_kafka[name]["advice"]
    done = try_command(environment, "topics")
    assert done.code == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr
    assert "no-such-password" not in done.stderr
