"""What the verbs of `ragtime keys` make of a key, without a server."""

from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from libs.access.api_keys import Mode, Scope, hash_key, is_well_formed, pepper_id
from services.admin.app import app
from services.admin.keys import KeyRequest, as_json, make_key, rotate_key, with_rates

NOW = datetime(2026, 3, 25, 12, tzinfo=UTC)
OLD, NEW = b"o" * 32, b"n" * 32
REQUEST = KeyRequest("museum", frozenset(Scope), Mode.TEST, 7, "label", 9, 500)


def test_key_has_what_was_asked_for_when_made() -> None:
    secret, key = make_key(REQUEST, OLD, NOW)
    assert is_well_formed(secret)
    assert key.key_hash == hash_key(secret, OLD)
    assert (key.rate_per_minute, key.events_per_minute) == (7, 500)
    assert (key.previous_hash, key.previous_until) == ("", None)
    assert key.pepper_id == pepper_id(OLD)


def test_key_keeps_all_but_its_secret_when_rotated() -> None:
    _, key = make_key(REQUEST, OLD, NOW)
    secret, rotated = rotate_key(key, NEW, timedelta(hours=24), NOW)
    assert secret.startswith("rt_test_")
    assert rotated.key_hash == hash_key(secret, NEW)
    assert rotated.pepper_id == pepper_id(NEW) != pepper_id(OLD)
    assert (rotated.previous_hash, rotated.previous_until) == (
        key.key_hash,
        NOW + timedelta(hours=24),
    )
    secrets = {"key_hash", "pepper_id", "previous_hash", "previous_until"}
    for name in set(key.__slots__) - secrets:
        assert getattr(rotated, name) == getattr(key, name)


@pytest.mark.parametrize(
    ("rate", "events", "expected"),
    [
        (None, None, (7, 500)),
        (9, None, (9, 500)),
        (None, 900, (7, 900)),
        (0, None, (None, 500)),
        (None, 0, (7, None)),
    ],
)
def test_rates_are_those_that_were_said_when_changed(
    rate: int | None, events: int | None, expected: tuple[int | None, int | None]
) -> None:
    _, key = make_key(REQUEST, OLD, NOW)
    changed = with_rates(key, rate, events)
    assert (changed.rate_per_minute, changed.events_per_minute) == expected


def test_list_tells_no_hash_when_it_tells_all_else() -> None:
    _, key = make_key(REQUEST, OLD, NOW)
    _, rotated = rotate_key(key, NEW, timedelta(hours=24), NOW)
    told = as_json(rotated, NOW)
    assert told["lastUsedAt"] == "2026-03-25T12:00:00+00:00"
    assert told["previousSecretUntil"] == "2026-03-26T12:00:00+00:00"
    assert not {key.key_hash, rotated.key_hash} & set(map(str, told.values()))


@pytest.mark.parametrize(
    "arguments",
    [
        ("set-rate", "key_1", "--rate", "-1"),
        ("set-rate", "key_1", "--events-per-minute", "1000000001"),
        ("rotate", "key_1", "--overlap-hours", "-1"),
    ],
)
def test_key_is_not_changed_when_a_number_is_out_of_range(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["keys", *arguments])
    assert result.exit_code == 2
    assert "RAGTIME_" not in result.output


def test_key_is_not_changed_when_no_rate_is_said() -> None:
    result = CliRunner().invoke(app, ["keys", "set-rate", "key_1"])
    assert result.exit_code == 1
    assert "--events-per-minute" in result.output
