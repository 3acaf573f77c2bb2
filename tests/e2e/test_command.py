"""The command `ragtime` when a server is away: one line that says why, and exit code 1."""

from pathlib import Path

import pytest

from tests.e2e.processes import try_command
from tests.e2e.stack import environment_of
from tests.servers import Servers

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit",),
        ("dead-letters", "list", "--json"),
        ("dead-letters", "replay", "--all"),
        ("dead-letters", "replay", "--file", "lines.ndjson"),
    ],
    ids=" ".join,
)
def test_command_exits_1_and_says_why_when_kafka_is_away(
    real_servers: Servers, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    file = tmp_path / "lines.ndjson"
    file.write_bytes(b"{}\n")
    environment = environment_of(real_servers) | {
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "RAGTIME_CLICKHOUSE__DATABASE": "default",
    }

    done = try_command(environment, *[str(file) if one == file.name else one for one in arguments])

    assert done.code == 1
    assert done.stdout == b""
    assert done.stderr.splitlines()[-1].startswith("ragtime: ")
    assert "Traceback" not in done.stderr
    assert "Unclosed" not in done.stderr
