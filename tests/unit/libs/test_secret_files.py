"""Each secret may stand in a file, which another variable names; what is wrong is told by it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.settings import all_settings
from libs.settings import ServiceSettings, load_settings
from services.admin.settings import DoctorSettings
from services.ingest.settings import Settings as IngestSettings
from services.processor.settings import Settings as ProcessorSettings
from services.query.settings import Settings as QuerySettings

PROCESSES: dict[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "processor": ProcessorSettings,
    "query": QuerySettings,
    "ragtime": DoctorSettings,
}
SECRETS = [(one.process, one.variable) for one in all_settings() if one.is_secret]
# A value that each secret may have.
VALUE = "valkey://:a-canary-of-a-secret@store:6379/0"
NEEDED = {
    "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": "kafka:9092",
    "RAGTIME_CLICKHOUSE__URL": "http://clickhouse:8123",
    "RAGTIME_CLICKHOUSE__USER": "somebody",
    "RAGTIME_CLICKHOUSE__PASSWORD": "a-password",
    "RAGTIME_ACCESS__PEPPER": "p" * 32,
}
WITH_USER = {"RAGTIME_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "RAGTIME_KAFKA__USERNAME": "u"}


def environment(monkeypatch: pytest.MonkeyPatch, variable: str, **given: str) -> None:
    """Set what each process needs, without one secret."""
    needed = NEEDED | (WITH_USER if variable.startswith("RAGTIME_KAFKA") else {})
    for name, value in (needed | {variable: ""} | given).items():
        monkeypatch.setenv(name, value)


def secret_of(settings: ServiceSettings, variable: str) -> str:
    block, field = variable.removeprefix("RAGTIME_").lower().split("__")
    secret = getattr(getattr(settings, block), field)
    assert isinstance(secret, SecretStr)
    return secret.get_secret_value()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(("process", "variable"), SECRETS)
def test_secret_is_read_from_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, process: str, variable: str, end: str
) -> None:
    (file := tmp_path / "secret").write_bytes((VALUE + end).encode())
    environment(monkeypatch, variable, **{f"{variable}_FILE": str(file)})
    settings = load_settings(PROCESSES[process])
    assert secret_of(settings, variable) == VALUE
    assert "a-canary" not in repr(settings)


def test_one_newline_alone_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variable = "RAGTIME_CLICKHOUSE__PASSWORD"
    (file := tmp_path / "secret").write_text(" blanks and newlines \n\n")
    environment(monkeypatch, variable, **{f"{variable}_FILE": str(file)})
    assert secret_of(load_settings(ProcessorSettings), variable) == " blanks and newlines \n"


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"", b"\n"])
@pytest.mark.parametrize("secret", SECRETS)
def test_file_is_one_line_by_its_name_when_it_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    secret: tuple[str, str],
    content: bytes | None,
) -> None:
    process, variable = secret
    is_empty = content is not None and not content.strip()
    complaint = (
        f"must name a file {'that is not empty' if is_empty else 'of text that can be read'}"
    )
    file = tmp_path / "a-canary"
    if content is not None:
        file.write_bytes(content)
    environment(monkeypatch, variable, **{f"{variable}_FILE": str(file)})
    with pytest.raises(SystemExit) as exit_:
        load_settings(PROCESSES[process])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"{variable}_FILE: {complaint}\n"


@pytest.mark.parametrize(("process", "variable"), SECRETS)
def test_secret_is_refused_when_it_is_given_by_itself_and_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    process: str,
    variable: str,
) -> None:
    (file := tmp_path / "secret").write_text(VALUE)
    environment(monkeypatch, variable, **{f"{variable}_FILE": str(file), variable: VALUE})
    with pytest.raises(SystemExit) as exit_:
        load_settings(PROCESSES[process])
    (told,) = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2
    assert told == f"{variable}_FILE: the same is set without _FILE: one of both is too many"


def test_all_files_are_told_at_once_when_several_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("RAGTIME_CLICKHOUSE__PASSWORD_FILE", "RAGTIME_ACCESS__PEPPER_FILE")
    given = dict.fromkeys(files, "/no/such/file")
    environment(monkeypatch, files[0].removesuffix("_FILE"), **given, RAGTIME_ACCESS__PEPPER="")
    with pytest.raises(SystemExit):
        load_settings(QuerySettings)
    told = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert sorted(told) == sorted(files)


def test_rules_of_a_secret_hold_for_what_its_file_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    variable = "RAGTIME_ACCESS__PEPPER"
    (file := tmp_path / "secret").write_text("too-short\n")
    environment(monkeypatch, variable, **{f"{variable}_FILE": str(file)})
    with pytest.raises(SystemExit):
        load_settings(QuerySettings)
    told = capsys.readouterr().err
    assert told.startswith(f"{variable}: ")
    assert "too-short" not in told


def test_file_of_what_is_no_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(monkeypatch, "RAGTIME_CLICKHOUSE__USER_FILE")
    monkeypatch.setenv("RAGTIME_CLICKHOUSE__USER_FILE", __file__)
    with pytest.raises(SystemExit):
        load_settings(ProcessorSettings)
    assert capsys.readouterr().err.startswith("RAGTIME_CLICKHOUSE__USER_FILE: there is no such")
