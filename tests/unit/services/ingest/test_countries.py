"""Countries by address, without a database and with one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.countries import country_by_registry


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("2001:4860:4860::8888", "US"),
        ("::ffff:8.8.8.8", "US"),
        ("127.0.0.1", "unknown"),
        ("10.1.2.3", "unknown"),
        ("192.168.0.1", "unknown"),
        ("::1", "unknown"),
        ("fe80::1%eth0", "unknown"),
        ("255.255.255.255", "unknown"),
    ],
)
def test_country_is_told_from_the_address(address: str, country: str) -> None:
    assert country_by_registry(address) == country


@pytest.mark.parametrize(
    "text", ["", "localhost", "8.8.8", "8.8.8.8\n", " 8.8.8.8", "010.1.1.1", "\0", "٣.1.1.1"]
)
def test_country_is_none_when_the_text_is_no_address(text: str) -> None:
    assert country_by_registry(text) is None


@given(st.ip_addresses())
def test_country_is_a_code_or_unknown_for_every_address(address: object) -> None:
    country = country_by_registry(str(address))

    assert country is not None
    assert country == "unknown" or (len(country) == 2 and country.isupper())
