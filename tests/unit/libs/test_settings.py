"""All wrong settings are told at once, by name and never with their values."""

from pathlib import Path

import pytest
import trustme

from libs.settings import load_settings
from services.ingest.settings import Settings as IngestSettings
from services.processor.settings import Settings
from services.query.settings import Settings as QuerySettings

NEEDED = {
    "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "RAGTIME_CLICKHOUSE__URL": "http://127.0.0.1:8123",
    "RAGTIME_CLICKHOUSE__USER": "processor",
    "RAGTIME_CLICKHOUSE__PASSWORD": "secret-password",
}


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAGTIME_HTTP__HOST", "0.0.0.0")
    settings = load_settings(Settings)
    assert settings.clickhouse.user == "processor"
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8082)
    assert "secret-password" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379",
        "valkey://",
        "valkey://:s3cret@127.0.0.1:none/0",
        "127.0.0.1:6379",
        "valkey://:s3cret@127.0.0.1:99999/0",
    ],
)
def test_store_is_refused_without_being_told_when_its_url_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    for name, value in (NEEDED | {"RAGTIME_ACCESS__PEPPER": "p" * 32}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAGTIME_RATE_LIMIT__STORE_URL", url)
    with pytest.raises(SystemExit):
        load_settings(QuerySettings)
    complaint = capsys.readouterr().err
    assert complaint.startswith("RAGTIME_RATE_LIMIT__STORE_URL: ")
    assert "s3cret" not in complaint
    assert "127.0.0.1" not in complaint


def test_password_of_the_store_is_hidden_when_settings_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (NEEDED | {"RAGTIME_ACCESS__PEPPER": "p" * 32}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAGTIME_RATE_LIMIT__STORE_URL", "rediss://user:s3cret@store:6380/1")
    settings = load_settings(QuerySettings)
    assert settings.rate_limit.store_url is not None
    assert "s3cret" not in repr(settings)


def test_settings_name_all_that_is_wrong_when_some_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAGTIME_CLICKHOUSE__URL", "ftp://secret-place")
    monkeypatch.setenv("RAGTIME_BATCH__MAX_RECORDS", "0")
    with pytest.raises(SystemExit) as exit_:
        load_settings(Settings)
    complaints = capsys.readouterr().err
    assert exit_.value.code == 2
    assert sorted(line.split(":")[0] for line in complaints.splitlines()) == [
        "RAGTIME_BATCH__MAX_RECORDS",
        "RAGTIME_CLICKHOUSE__PASSWORD",
        "RAGTIME_CLICKHOUSE__URL",
        "RAGTIME_CLICKHOUSE__USER",
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS",
    ]
    assert "secret-place" not in complaints


_OF_QUERY = NEEDED | {"RAGTIME_ACCESS__PEPPER": "p" * 32}


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.0.0.0/8", ["10.0.0.0/8"]),
        (" 10.0.0.0/8, fd00::/8 ,", ["10.0.0.0/8", "fd00::/8"]),
        ('["10.0.0.0/8", "192.168.1.7"]', ["10.0.0.0/8", "192.168.1.7/32"]),
        ("", []),
    ],
)
def test_list_is_read_with_commas_or_as_json(
    monkeypatch: pytest.MonkeyPatch, text: str, networks: list[str]
) -> None:
    for name, value in (_OF_QUERY | {"RAGTIME_TRUSTED_PROXIES": text}).items():
        monkeypatch.setenv(name, value)
    assert [str(one) for one in load_settings(QuerySettings).trusted_proxies] == networks


def test_empty_value_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = ("RAGTIME_HTTP__PORT", "RAGTIME_RATE_LIMIT__STORE_URL", "RAGTIME_LOG__LEVEL")
    for name, value in (_OF_QUERY | dict.fromkeys(empty, "")).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(QuerySettings)
    assert (settings.http.port, settings.rate_limit.store_url, settings.log.level) == (
        8080,
        None,
        "info",
    )


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("RAGTIME_TRUSTED_PROXIES", "10.0.0.1/8,x", "must be networks such as 10.0.0.0/8"),
        ("RAGTIME_TRUSTED_PROXIES", '["10.0.0.0/8"', "must be values with commas between"),
        ("RAGTIME_HTTP__CORS_ORIGINS", "a.example", "must be origins such as https://a.example"),
        ("RAGTIME_HTTP", "s3cret", "must be JSON"),
        ("RAGTIME_CLICKHOUSE__URL", "http://u:s3cret@clickhouse:8123", "must name no user"),
        ("RAGTIME_CLICKHOUSE__USER", "", "Field required"),
        ("RAGTIME_CLICKHOUSE__URL", "http://", "must be http://host:port"),
        ("RAGTIME_CLICKHOUSE__URL", "clickhouse:8123", "must be http://host:port"),
        ("RAGTIME_CLICKHOUSE__URL", "http://clickhouse:99999", "must be http://host:port"),
        ("RAGTIME_CLICKHOUSE__URL", "http://clickhouse:port", "must be http://host:port"),
        ("RAGTIME_CLICKHOUSE__URL", "http://clickhouse/?user=s3cret", "must be http://host:port"),
        ("RAGTIME_CLICKHOUSE__TIMEOUT", "3", "no such setting; TIMEOUT_S is one"),
        ("RAGTIME_CLICKHOUSE__COLOUR", "3", "there is no such setting"),
    ],
)
def test_wrong_value_is_one_line_by_its_variable_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    complaint: str,
) -> None:
    for name, given in (_OF_QUERY | {variable: value}).items():
        monkeypatch.setenv(name, given)
    with pytest.raises(SystemExit) as exit_:
        load_settings(QuerySettings)
    (told,) = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2
    assert told.startswith(f"{variable}: ")
    assert complaint in told
    assert "s3cret" not in told


def _told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> str:
    """What the processor says, when it ends because of this setting."""
    for name, given in (NEEDED | {variable: value}).items():
        monkeypatch.setenv(name, given)
    with pytest.raises(SystemExit):
        load_settings(Settings)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "servers",
    ["kafka", "kafka:", "kafka:x", ":9092", "a:1;b:2", "kafka://a:1", "kafka:99999", "a:1,b:0"],
)
def test_bootstrap_servers_are_refused_when_kafkas_client_could_not_read_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], servers: str
) -> None:
    told = _told_of(monkeypatch, capsys, "RAGTIME_KAFKA__BOOTSTRAP_SERVERS", servers)
    assert "must be host:port" in told


@pytest.mark.parametrize("name", ["a b", "a/b", "..", "é", "a" * 250])
def test_topic_is_refused_when_kafka_would_not_have_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (told,) = _told_of(monkeypatch, capsys, "RAGTIME_KAFKA__EVENTS_TOPIC", name).splitlines()
    assert told.startswith("RAGTIME_KAFKA__EVENTS_TOPIC: ")
    assert "1 to 249 characters" in told


def test_bootstrap_servers_are_taken_with_blanks_and_in_brackets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = "kafka-1.example.org:9092, [2001:db8::1]:9092"
    for name, value in (NEEDED | {"RAGTIME_KAFKA__BOOTSTRAP_SERVERS": servers}).items():
        monkeypatch.setenv(name, value)
    assert load_settings(Settings).kafka.bootstrap_servers == servers.replace(" ", "")


def test_name_that_is_nearly_a_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = {"RAGTIME_PUBLISH__LINGER_MS": "1", "RAGTIME_SOMETHING": "1"}
    misspelt = {"RAGTIME_TRUSTED_PROXY": "10.0.0.0/8", "RAGTIME_CLICK_HOUSE__USER": "x"}
    for name, value in (_OF_QUERY | others | misspelt).items():
        monkeypatch.setenv(name, value)
    load_settings(QuerySettings)
    assert capsys.readouterr().err.splitlines() == [
        "RAGTIME_CLICK_HOUSE__USER: there is no such setting; RAGTIME_CLICKHOUSE__USER is one",
        "RAGTIME_TRUSTED_PROXY: there is no such setting; RAGTIME_TRUSTED_PROXIES is one",
    ]


@pytest.mark.parametrize(
    ("variable", "complaint"),
    [
        ("RAGTIME_PUBLISH__TIMEOUT_S", "RAGTIME_PUBLISH: Value error, TIMEOUT_S must be less than"),
        ("RAGTIME_BODY__WAIT_S", "RAGTIME_BODY: Value error, WAIT_S must be less than"),
    ],
)
def test_wait_is_refused_when_it_is_longer_than_the_grace_at_a_stop(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    complaint: str,
) -> None:
    for name, value in (NEEDED | {"RAGTIME_ACCESS__PEPPER": "p" * 32}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAGTIME_STOP__GRACE_S", "20")
    monkeypatch.setenv(variable, "19")
    load_settings(IngestSettings)
    monkeypatch.setenv(variable, "20")
    with pytest.raises(SystemExit):
        load_settings(IngestSettings)
    assert capsys.readouterr().err == f"{complaint} RAGTIME_STOP__GRACE_S (20)\n"


_TOKEN = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "USERNAME and PASSWORD belong to"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "USERNAME": "u"}, "USERNAME and PASSWORD belong to"),
        ({"USERNAME": "u", "PASSWORD": "s3cret"}, "USERNAME and PASSWORD belong to"),
        ({"CA_FILE": __file__}, "files of certificates belong to"),
        ({"SECURITY_PROTOCOL": "SSL", "CA_FILE": __file__}, "cannot be read"),
        ({"SECURITY_PROTOCOL": "SSL", "KEY_FILE": __file__}, "belong together"),
        (
            {"SECURITY_PROTOCOL": "SSL", "CA_FILE": "/no/such/file"},
            "must name a file that can be read",
        ),
        ({"TOKEN_FILE": __file__}, "TOKEN_FILE or TOKEN_COMMAND, one of both, belongs to"),
        (_TOKEN, "TOKEN_FILE or TOKEN_COMMAND, one of both, belongs to"),
        (
            _TOKEN | {"TOKEN_FILE": __file__, "TOKEN_COMMAND": "cat s3cret"},
            "TOKEN_FILE or TOKEN_COMMAND, one of both, belongs to",
        ),
        (
            _TOKEN | {"TOKEN_FILE": __file__, "USERNAME": "u", "PASSWORD": "s3cret"},
            "and not to OAUTHBEARER",
        ),
        (_TOKEN | {"TOKEN_FILE": "/no/such/file"}, "must name a file that can be read"),
        (_TOKEN | {"TOKEN_COMMAND": "no-such-command s3cret"}, "must be a command that is there"),
        (_TOKEN | {"TOKEN_COMMAND": "cat 's3cret"}, "must be a command that is there"),
        ({"SASL_EXTENSIONS": "a=b"}, "SASL_EXTENSIONS belong to SASL by OAUTHBEARER"),
        (_TOKEN | {"TOKEN_FILE": __file__, "SASL_EXTENSIONS": "lkc-1"}, "must be name=value"),
        (_TOKEN | {"TOKEN_FILE": __file__, "SASL_EXTENSIONS": "auth=x"}, "none `auth`"),
        (_TOKEN | {"TOKEN_FILE": __file__, "SASL_EXTENSIONS": "a=b,a=c"}, "each once"),
        ({"SECURITY_PROTOCOL": "TLS"}, "Input should be 'PLAINTEXT', 'SSL'"),
    ],
)
def test_way_to_kafka_is_refused_when_its_parts_do_not_agree(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str],
    complaint: str,
) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    for name, value in given.items():
        monkeypatch.setenv(f"RAGTIME_KAFKA__{name}", value)
    with pytest.raises(SystemExit):
        load_settings(Settings)
    told = capsys.readouterr().err
    assert complaint in told
    assert told.startswith("RAGTIME_KAFKA")
    assert "s3cret" not in told


def test_password_of_kafka_is_hidden_when_settings_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = {"SECURITY_PROTOCOL": "SASL_SSL", "USERNAME": "u", "PASSWORD": "s3cret"}
    for name, value in (NEEDED | {f"RAGTIME_KAFKA__{k}": v for k, v in kafka.items()}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(Settings)
    assert "s3cret" not in repr(settings)
    assert settings.kafka.tls is not None


@pytest.mark.parametrize("service", [IngestSettings, QuerySettings])
def test_limits_of_another_service_are_no_mistake_when_one_file_tells_all(
    monkeypatch: pytest.MonkeyPatch, service: type[IngestSettings | QuerySettings]
) -> None:
    for name, value in (NEEDED | {"RAGTIME_ACCESS__PEPPER": "p" * 32}).items():
        monkeypatch.setenv(name, value)
    for limit in ("PER_KEY", "EVENTS_PER_KEY", "REQUESTS_PER_KEY", "PER_ADDRESS"):
        monkeypatch.setenv(f"RAGTIME_RATE_LIMIT__{limit}", "77")
    assert load_settings(service).rate_limit.per_address == 77
    monkeypatch.setenv("RAGTIME_RATE_LIMIT__PER_KEYS", "77")
    with pytest.raises(SystemExit):
        load_settings(service)


_STORE = {"RAGTIME_RATE_LIMIT__STORE_URL": "valkeys://:s3cret@store:6380/0"}
_TLS = {
    "RAGTIME_CLICKHOUSE__": {"RAGTIME_CLICKHOUSE__URL": "https://clickhouse:8443"},
    "RAGTIME_RATE_LIMIT__STORE_": _STORE,
    "RAGTIME_TRACES__": {"RAGTIME_TRACES__ENDPOINT": "https://collector:4318/v1/traces"},
}


@pytest.mark.parametrize("place", _TLS)
@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"CA_FILE": "/no/such/file"}, "must name a file that can be read"),
        ({"CA_FILE": __file__}, "a file of certificates, or the key, cannot be read"),
        ({"CERT_FILE": __file__}, "belong together"),
        ({"KEY_FILE": __file__}, "belong together"),
        ({"CERT_FILE": __file__, "KEY_FILE": __file__}, "cannot be read"),
    ],
)
def test_files_of_certificates_are_refused_when_they_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    given: dict[str, str],
    complaint: str,
) -> None:
    files = {f"{place}{name}": value for name, value in given.items()}
    for name, value in (_OF_QUERY | _TLS[place] | files).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        load_settings(QuerySettings)
    (told,) = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2
    assert told.startswith(place.split("__", maxsplit=1)[0])
    assert complaint in told
    assert "s3cret" not in told


@pytest.mark.parametrize("place", _TLS)
def test_files_of_certificates_are_refused_when_the_way_is_in_the_open(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    place: str,
) -> None:
    trustme.CA().cert_pem.write_to_path(ca := tmp_path / "ca.pem")
    for name, value in (_OF_QUERY | {f"{place}CA_FILE": str(ca)}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        load_settings(QuerySettings)
    assert "files of certificates belong to" in capsys.readouterr().err
    for name, value in _TLS[place].items():
        monkeypatch.setenv(name, value)
    load_settings(QuerySettings)
