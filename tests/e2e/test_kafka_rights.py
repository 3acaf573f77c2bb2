"""Exactly the documented rights in Kafka, on a broker that refuses all else: everything works."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest

from deploy.local.layout import Layout
from libs.kafka.rights import KAFKA_RIGHTS, On
from services.admin.doctor.examination import CHECKS
from tests.e2e.lines import line
from tests.e2e.processes import Done, run_command, try_command
from tests.e2e.stack import (
    Project,
    Stack,
    environment_of,
    services_of,
    started,
    told_to_doctor,
    topics_of,
)
from tests.own_servers import running_servers
from tests.ports import free_port

pytestmark = pytest.mark.e2e

PASSWORDS = {user: secrets.token_urlsafe(12) for user in KAFKA_RIGHTS}
_PROPERTIES = """
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required {users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
# Numbers of Kafka's protocol.
_RESOURCES = {On.EVENTS: 2, On.DEAD_LETTERS: 2, On.GROUP: 3, On.CLUSTER: 4}
_OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
    "IdempotentWrite": 12,
}
_LITERAL, _ALLOW = 3, 3


class Rights:
    """A stack whose services and commands are users of Kafka, each with its own rights."""

    def __init__(self, stack: Stack, address: str, project: Project) -> None:
        self.stack = stack
        self.project = project
        self.healthy: dict[str, Done] = {}  # what the doctor said, by user, while all was well
        self._address = address

    def try_as(self, user: str, *arguments: str, **more: str) -> Done:
        """How the command ends as a user."""
        environment = self.stack.environment | as_user(self._address, user) | more
        return try_command(environment, *arguments)

    def run_as(self, user: str, *arguments: str, **more: str) -> str:
        """What the command prints; fails unless it ends well."""
        environment = self.stack.environment | as_user(self._address, user) | more
        return run_command(environment, *arguments)


def as_user(address: str, user: str) -> dict[str, str]:
    """The settings of a client that is this user."""
    return {
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": address,
        "RAGTIME_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "RAGTIME_KAFKA__SASL_MECHANISM": "PLAIN",
        "RAGTIME_KAFKA__USERNAME": user,
        "RAGTIME_KAFKA__PASSWORD": PASSWORDS[user],
    }


def name_of(environment: dict[str, str], on: On) -> str:
    """What a resource is called on this stack."""
    return {
        On.EVENTS: environment["RAGTIME_KAFKA__EVENTS_TOPIC"],
        On.DEAD_LETTERS: environment["RAGTIME_KAFKA__DEAD_LETTER_TOPIC"],
        On.GROUP: environment["RAGTIME_GROUP__NAME"],
        On.CLUSTER: "kafka-cluster",
    }[on]


async def grant(environment: dict[str, str], *allowed: tuple[str, int, str, str]) -> None:
    """Allow operations: the user, the kind and name of the resource, what he may do there."""
    client = AIOKafkaAdminClient(bootstrap_servers=environment["RAGTIME_KAFKA__BOOTSTRAP_SERVERS"])
    await client.start()
    for user, kind, name, operation in allowed:
        number = _OPERATIONS[operation]
        request = CreateAclsRequest(kind, name, _LITERAL, f"User:{user}", "*", number, _ALLOW)
        answer = await client._send_to_controller(request)  # there is no other way
        ((code, message),) = answer.creation_responses
        if code:
            raise for_code(code)(message)
    await client.close()


def listed(environment: dict[str, str]) -> list[tuple[str, int, str, str]]:
    """The rights of the list, and no others."""
    return [
        (user, _RESOURCES[right.on], name_of(environment, right.on), operation)
        for user, rights in KAFKA_RIGHTS.items()
        for right in rights
        for operation in right.operations
    ]


@pytest.fixture(scope="module")
def rights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rights]:
    folder = tmp_path_factory.mktemp("rights")
    address = f"127.0.0.1:{free_port()}"

    def change(where: Layout) -> None:
        file = where.kafka / "server.properties"
        text = file.read_text("utf-8").replace(
            "listeners=PLAINTEXT://", f"listeners=USERS://{address},PLAINTEXT://"
        )
        users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
        file.write_text(text + _PROPERTIES.format(users=users), "utf-8")

    with running_servers(folder / "servers", change) as (_, servers):
        plain = environment_of(servers)
        asyncio.run(grant(plain, *listed(plain)))
        run_command(plain | as_user(address, "ragtime"), "init")
        services = services_of(servers, plain, folder)
        for name in ("ingest", "processor"):
            services[name].environment |= as_user(address, name)
        with started(plain, services) as stack:
            (project,) = stack.new_projects(1)
            message = {"type": "chat.message", "role": "user", "sessionId": "s"}
            stack.post_events(project, [message | {"conversationId": "c"}])
            stack.wait_until_counted()
            rights = Rights(stack, address, project)
            told = told_to_doctor(stack, servers)
            for user in ("ragtime", "doctor"):
                rights.healthy[user] = rights.try_as(user, "doctor", "--json", **told)
            stack.topics.write([b"no json"], 0)
            stack.wait_until_counted()
            yield rights


@pytest.mark.parametrize("user", ["ragtime", "doctor"])
def test_doctor_is_quiet_when_all_is_well(rights: Rights, user: str) -> None:
    done = rights.healthy[user]
    checks = json.loads(done.stdout)["checks"]
    assert not [one for one in checks if one["status"] != "ok"]
    assert {one["name"] for one in checks} == set(CHECKS)
    assert done.code == 0


def test_services_count_events_and_keep_dead_letters(rights: Rights) -> None:
    assert rights.stack.rows_of(rights.project) == 1
    assert [letter.value for letter in rights.stack.topics.read_dead_letters()] == [b"no json"]
    assert not [log for log in rights.stack.logs().values() if "AuthorizationFailed" in log]


def test_command_makes_topics_and_changes_them(rights: Rights) -> None:
    assert "already there" in rights.run_as("ragtime", "init")
    assert rights.run_as("ragtime", "topics") == "the topics are as they are set\n"
    other = {"RAGTIME_TOPICS__RETENTION_HOURS": "48"}
    assert "changed: " in rights.run_as("ragtime", "topics", "--apply", **other)
    assert "changed: " in rights.run_as("ragtime", "topics", "--apply")


def test_command_reads_both_topics(rights: Rights) -> None:
    rights.stack.wait_until_counted()
    assert rights.run_as("ragtime", "audit", "--every-record").endswith("no difference\n")
    assert "not_json" in rights.run_as("ragtime", "dead-letters", "list")


def test_command_sends_dead_letters_again(rights: Rights, tmp_path: Path) -> None:
    (lines := tmp_path / "lines").write_bytes(line("another", "corrected"))
    before = len(rights.stack.topics.read_events())
    done = rights.try_as("ragtime", "dead-letters", "replay", "--file", str(lines))
    assert done.code == 0, done
    assert len(rights.stack.topics.read_events()) == before + 1


def test_command_carries_an_older_topic_over_when_it_may_read_that(rights: Rights) -> None:
    environment = rights.stack.environment
    older = replace(topics_of(environment), events=f"{name_of(environment, On.EVENTS)}-older")
    older.make()
    refused = rights.try_as("ragtime", "topics", "adopt", older.events)
    assert refused.code == 1
    may = (("ragtime", 2, older.events, operation) for operation in ("Read", "Describe"))
    asyncio.run(grant(environment, *may))
    assert "0 records" in rights.run_as("ragtime", "topics", "adopt", older.events, "--apply")


@pytest.mark.parametrize("user", ["ragtime", "doctor"])
def test_doctor_sees_dead_letters(rights: Rights, user: str) -> None:
    letters = json.loads(rights.try_as(user, "doctor", "--json").stdout)["checks"]
    (seen,) = [one["seen"] for one in letters if one["name"] == "dead-letters"]
    assert "not_json" in seen


def test_doctor_names_the_table_of_rights_when_its_user_lacks_them(rights: Rights) -> None:
    told = json.loads(rights.try_as("ingest", "doctor", "--json").stdout)["checks"]
    found = {one["name"]: one for one in told}
    for name in ("topics", "processors", "lag", "dead-letters"):
        assert 'table of rights under "Kafka"' in found[name]["advice"], found[name]
        assert "AuthorizationFailed" in found[name]["seen"]


@pytest.mark.parametrize(
    ("user", "arguments"),
    [
        ("processor", ("topics",)),
        ("doctor", ("topics", "--apply")),
        ("ingest", ("dead-letters", "list")),
    ],
)
def test_command_says_so_when_its_user_lacks_a_right(
    rights: Rights, user: str, arguments: tuple[str, ...]
) -> None:
    done = rights.try_as(user, *arguments, RAGTIME_TOPICS__RETENTION_HOURS="48")
    assert done.code == 1
    assert "AuthorizationFailed" in done.stderr or "this user may not see it" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_makes_a_lost_topic_anew(rights: Rights) -> None:
    stack = rights.stack
    stack.services["processor"].stop()
    asyncio.run(_delete(stack))
    said = rights.run_as("ragtime", "init", "--anew")
    assert f"its events are counted as {stack.topics.events}#2" in said
    stack.services["processor"].start()
    stack.services["processor"].wait_until_ready()


async def _delete(stack: Stack) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=stack.topics.bootstrap_servers)
    await client.start()
    await client.delete_topics([stack.topics.events])
    await client.close()
