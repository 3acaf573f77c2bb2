"""Whose request it is behind proxies."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.access.client_address import (
    client_address,
    neighbourhood,
    parse_address,
    wide_neighbourhood,
)

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, , 10.0.0.2"], "10.0.0.2"),
        ("fd00::1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.1:5000"], "198.51.100.1"),
        ("fe80::1%eth0", ["198.51.100.1"], "fe80::1"),
    ],
)
def test_caller_is_last_untrusted_hop_when_proxies_are_trusted(
    peer: str, forwarded_for: list[str], expected: str
) -> None:
    assert str(client_address(parse_address(peer), forwarded_for, PROXIES)) == expected


@pytest.mark.parametrize("peer", [None, "", "unix:/run/x", "testclient"])
def test_caller_is_unknown_when_peer_has_no_address(peer: str | None) -> None:
    assert client_address(parse_address(peer or ""), ["198.51.100.1"], PROXIES) is None


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
    ],
)
def test_addresses_count_as_one_when_they_are_one_customers(address: str, counted_as: str) -> None:
    assert neighbourhood(parse_address(address)) == counted_as


@pytest.mark.parametrize(
    ("address", "counted_with"),
    [
        ("203.0.113.9", "203.0.0.0/16"),
        ("::ffff:203.0.113.9", "203.0.0.0/16"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8::/32"),
    ],
)
def test_address_is_counted_with_its_provider_when_too_many_are_known(
    address: str, counted_with: str
) -> None:
    assert wide_neighbourhood(parse_address(address)) == counted_with


def test_neighbourhood_has_a_name_when_the_caller_is_unknown() -> None:
    assert neighbourhood(None) == wide_neighbourhood(None) == "None"


def test_few_hops_are_looked_at_when_somebody_wrote_thousands() -> None:
    hops = ["198.51.100.1", *["10.0.0.2"] * 8_000]
    assert str(client_address(parse_address("10.0.0.1"), [",".join(hops)], PROXIES)) == "10.0.0.2"
    assert (
        str(client_address(parse_address("10.0.0.1"), [",".join(hops[:19])], PROXIES))
        == "198.51.100.1"
    )


@given(st.lists(st.text(), max_size=3))
def test_caller_is_the_peer_when_nobody_is_trusted(forwarded_for: list[str]) -> None:
    assert str(client_address(parse_address("203.0.113.9"), forwarded_for, ())) == "203.0.113.9"


@given(st.text())
def test_address_is_one_or_none_when_text_is_anything(text: str) -> None:
    address = parse_address(text)
    assert address is None or parse_address(str(address)) == address
