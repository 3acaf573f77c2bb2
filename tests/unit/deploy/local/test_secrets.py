"""Where the secrets of a stack go, and where they do not."""

import json
import shlex
from configparser import RawConfigParser
from pathlib import Path

import pytest

from deploy.local.credentials import read_secrets, write_users
from deploy.local.environments import SERVICES, admin_environment, environment, plain_environment
from deploy.local.layout import Layout, make_state
from deploy.local.ports import Ports
from deploy.local.supervision import PROGRAMS, configuration
from libs.clickhouse.rights import RIGHTS


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    """A stack whose path is as awkward as paths get."""
    made = Layout(tmp_path / "a b%c" / "state", tmp_path / "cache")
    make_state(made)
    return made


def test_secrets_are_the_same_and_private_when_asked_again(where: Layout) -> None:
    first = read_secrets(where)

    assert read_secrets(where) == first
    assert len(set(first.values())) == len(RIGHTS) + 1
    assert where.secrets.stat().st_mode & 0o777 == 0o600
    assert where.state.stat().st_mode & 0o777 == 0o700


def test_users_file_holds_no_password_when_it_is_written(where: Layout) -> None:
    secrets = read_secrets(where)

    write_users(where.clickhouse_users, secrets)

    text = where.clickhouse_users.read_text()
    assert not any(secret in text for secret in secrets.values())
    assert {user["name"] for user in json.loads(text)["users"]} == set(RIGHTS)


@pytest.mark.parametrize("name", SERVICES)
def test_service_gets_its_own_password_and_no_other(where: Layout, name: str) -> None:
    secrets = read_secrets(where)

    given = set(environment(name, where, Ports()).values())

    assert secrets[name] in given
    assert not given & {secrets[other] for other in RIGHTS if other != name}
    assert (secrets["pepper"] in given) == (name != "processor")


@pytest.mark.parametrize("name", ["kafka", "clickhouse", "watchdog"])
def test_server_gets_no_secret(where: Layout, name: str) -> None:
    secrets = read_secrets(where)

    assert not set(environment(name, where, Ports()).values()) & set(secrets.values())


def test_command_gets_the_admin_and_the_pepper(where: Layout) -> None:
    given = admin_environment(where, Ports(kafka=19092))

    assert given["RAGTIME_CLICKHOUSE__PASSWORD"] == read_secrets(where)["admin"]
    assert given["RAGTIME_ACCESS__PEPPER"] == read_secrets(where)["pepper"]
    assert given["RAGTIME_KAFKA__BOOTSTRAP_SERVERS"] == "127.0.0.1:19092"


def test_settings_of_another_stack_stay_out_when_a_process_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAGTIME_LOG__LEVEL", "debug")
    monkeypatch.setenv("RT_LIVE_KEY", "rt_live_x")
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("NO_PROXY", raising=False)

    plain = plain_environment()

    assert "RAGTIME_LOG__LEVEL" not in plain
    assert "RT_LIVE_KEY" not in plain
    assert plain["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert plain["NO_PROXY"] == "127.0.0.1,localhost"


def test_configuration_of_the_process_manager_names_all_and_holds_no_secret(
    where: Layout,
) -> None:
    parser = RawConfigParser()

    parser.read_string(configuration())

    assert {f"program:{name}" for name in PROGRAMS} < set(parser.sections())
    command = shlex.split(parser["program:query"]["command"])
    assert command[1:] == ["-m", "deploy.local.processes", "query"]
    assert not any(secret in configuration() for secret in read_secrets(where).values())
