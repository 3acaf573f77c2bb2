"""API keys: what they look like, what is refused, what is stored."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.access.api_keys import ApiKey, Mode, Scope, generate_key, hash_key, is_well_formed

NOW = datetime(2026, 3, 25, 12, tzinfo=UTC)
PEPPER = b"p" * 32
KEY = ApiKey(
    id="key_1",
    key_hash="0" * 64,
    project_id="museum",
    mode=Mode.LIVE,
    scopes=frozenset({Scope.ANALYTICS_READ}),
    rate_per_minute=None,
    label="",
    created_at=NOW - timedelta(days=1),
    expires_at=None,
    revoked_at=None,
)


@pytest.mark.parametrize("mode", Mode)
def test_key_has_prefix_secret_and_checksum_when_generated(mode: Mode) -> None:
    key = generate_key(mode)
    assert re.fullmatch(rf"rt_{mode.value}_[0-9A-Za-z]{{49}}", key)
    assert is_well_formed(key)


def test_keys_differ_when_generated_again() -> None:
    assert len({generate_key(Mode.LIVE) for _ in range(100)}) == 100


@given(position=st.integers(0, 56), character=st.sampled_from("09AZaz_- é\0"))
def test_key_is_refused_when_one_character_changed(position: int, character: str) -> None:
    key = generate_key(Mode.LIVE)
    changed = key[:position] + character + key[position + 1 :]
    assert is_well_formed(changed) == (changed == key)


@given(st.text())
def test_key_is_refused_when_it_is_any_text(text: str) -> None:
    assert not is_well_formed(text)


def test_key_is_refused_when_its_mode_was_swapped() -> None:
    assert not is_well_formed(generate_key(Mode.TEST).replace("rt_test_", "rt_live_"))


def test_hash_is_known_hmac_when_key_and_pepper_are_known() -> None:
    # echo -n rt_live_x | openssl dgst -sha256 -hmac pppppppppppppppppppppppppppppppp
    expected = "c526cfb7a1c552891caa46032ed9412cafb39e2c5d494b3fc3e4fa78b8c6ceb6"
    assert hash_key("rt_live_x", PEPPER) == expected


def test_hash_differs_when_pepper_differs() -> None:
    assert hash_key("rt_live_x", PEPPER) != hash_key("rt_live_x", b"q" * 32)


@pytest.mark.parametrize(
    ("key", "is_usable"),
    [
        (KEY, True),
        (replace(KEY, expires_at=NOW + timedelta(seconds=1)), True),
        (replace(KEY, expires_at=NOW), False),
        (replace(KEY, revoked_at=NOW), False),
        (replace(KEY, revoked_at=NOW + timedelta(days=1)), False),
    ],
    ids=["for ever", "not yet expired", "expired", "revoked", "revoked by a clock ahead"],
)
def test_key_is_usable_when_neither_revoked_nor_expired(key: ApiKey, is_usable: bool) -> None:
    assert key.is_usable(NOW) is is_usable
