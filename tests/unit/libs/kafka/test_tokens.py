"""Tokens for Kafka: read anew from a file, or written by a command, and never told."""

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka.abc import AbstractTokenProvider
from faust.auth import OAuthCredentials

from libs.kafka.connection import connection
from libs.kafka.tokens import CommandToken, FileToken, NoTokenError, TokenProvider
from libs.settings import KafkaSettings
from services.processor.app import _credentials
from tests.clock import Clock


def script(folder: Path, text: str) -> str:
    (file := folder / "token.sh").write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return str(file)


async def test_file_is_read_anew_each_time(tmp_path: Path) -> None:
    provider = TokenProvider(FileToken(file := tmp_path / "token"))
    for token in ("one.two.three", "four.five.six"):
        file.write_text(f"{token}\n")
        assert await provider.token() == token


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\x01auth=b", b"\xff"])
async def test_file_is_refused_when_it_holds_no_token(tmp_path: Path, content: bytes) -> None:
    (file := tmp_path / "token").write_bytes(content)
    with pytest.raises(NoTokenError) as told:
        await TokenProvider(FileToken(file)).token()
    assert str(told.value).endswith(
        "RAGTIME_KAFKA__TOKEN_FILE gave no token: one word was expected"
    )


async def test_file_that_is_gone_is_told_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(NoTokenError, match="TOKEN_FILE cannot be read: No such file"):
        await TokenProvider(FileToken(tmp_path / "gone")).token()


def test_command_is_run_again_when_its_token_was_used_for_seconds(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = script(tmp_path, f"echo run >> {runs}; echo token-$(wc -l < {runs})")
    token = CommandToken(command, now=(clock := Clock(now=0.0)))
    assert [token(), token()] == ["token-1", "token-1"]
    clock.now = 20
    assert token() == "token-2"


async def test_command_is_run_once_when_many_connections_begin(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    provider = TokenProvider(CommandToken(script(tmp_path, f"echo run >> {runs}; echo token")))
    assert set(await asyncio.gather(*(provider.token() for _ in range(8)))) == {"token"}
    assert runs.read_text() == "run\n"


def test_arguments_are_handed_over_as_a_shell_would_split_them(tmp_path: Path) -> None:
    command = script(tmp_path, 'test "$#" = 2 && echo "$2"')
    assert CommandToken(f"{command} 'a b' c")() == "c"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo a-canary; echo a-canary >&2; exit 3", "ended with exit code 3"),
        ("echo a-canary and more", "gave no token"),
        ("true", "gave no token"),
    ],
)
def test_command_that_fails_is_told_without_what_it_wrote(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    with pytest.raises(NoTokenError, match=f"RAGTIME_KAFKA__TOKEN_COMMAND {why}") as told:
        CommandToken(script(tmp_path, text))()
    assert "a-canary" not in str(told.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["sleep 60", "sleep 60 & echo a-token"])
def test_command_is_ended_with_all_it_began_when_it_takes_too_long(
    tmp_path: Path, text: str
) -> None:
    began = time.monotonic()
    with pytest.raises(NoTokenError, match=r"took longer than 0.3 s"):
        CommandToken(script(tmp_path, text), timeout_s=0.3)()
    assert time.monotonic() - began < 20


def test_all_clients_share_one_provider_when_a_token_is_shown(tmp_path: Path) -> None:
    (file := tmp_path / "token").write_text("token")
    kafka = KafkaSettings(
        bootstrap_servers="k:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        token_file=file,
        sasl_extensions="logicalCluster=lkc-1,identityPoolId=pool-a=b",
    )
    first, second = connection(kafka), connection(kafka)
    provider = first["sasl_oauth_token_provider"]
    assert isinstance(provider, AbstractTokenProvider)
    assert second["sasl_oauth_token_provider"] is provider
    assert provider.extensions() == {"logicalCluster": "lkc-1", "identityPoolId": "pool-a=b"}
    assert first["sasl_mechanism"] == "OAUTHBEARER"
    assert "sasl_plain_password" not in first
    credentials = _credentials(kafka)
    assert isinstance(credentials, OAuthCredentials)
    assert (credentials.oauth_cb, credentials.ssl_context) == (provider, kafka.tls)
