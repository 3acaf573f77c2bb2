"""What the command refuses before it talks to anybody."""

import pytest
from typer.testing import CliRunner

from services.admin.app import app


@pytest.mark.parametrize("days", ["0", "36501", "100000000000"])
def test_key_is_not_made_when_its_days_are_out_of_range(days: str) -> None:
    command = ["keys", "create", "--project", "p", "--scope", "events:write", "--expires", days]

    result = CliRunner().invoke(app, command)

    assert result.exit_code == 2
    assert "RAGTIME_" not in result.output, "the option is wrong, whatever the settings are"


@pytest.mark.parametrize("project", [".", ".."])
def test_key_is_not_made_when_no_path_can_name_its_project(project: str) -> None:
    command = ["keys", "create", "--project", project, "--scope", "events:write"]

    result = CliRunner().invoke(app, command)

    assert result.exit_code == 1
    assert "nobody could reach it" in result.output
