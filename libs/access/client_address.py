"""Whose request it is, when proxies stand in between. Pure.

`X-Forwarded-For` is what anybody may write: it counts only as far as proxies of ours wrote it.
"""

from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from itertools import islice

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAX_HOPS = 20


def client_address(
    peer: Address | None, forwarded_for: Sequence[str], trusted_proxies: Sequence[Network]
) -> Address | None:
    """The caller's address: the socket's peer, or the last one that a trusted proxy did not own.

    `forwarded_for`: the values of all `X-Forwarded-For` headers in order. None when the peer has
    no IP address (a Unix socket).
    """
    address = peer
    for hop in _from_the_last(forwarded_for):
        if address is None or not is_in(address, trusted_proxies):
            break
        before = parse_address(hop)
        if before is None:  # a proxy that writes no address tells nothing of what was before it
            break
        address = before
    return address


def _from_the_last(forwarded_for: Sequence[str]) -> Iterator[str]:
    """The hops from the nearest on. A caller may write thousands: no way has so many proxies."""
    last_first = (
        hop for value in reversed(forwarded_for) for hop in reversed(value.rsplit(",", _MAX_HOPS))
    )
    return islice(last_first, _MAX_HOPS)


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: bare, `[v6]:port` or `v4:port`; IPv4 in IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def neighbourhood(address: Address | None) -> str:
    """Whom a limit by address counts as one: an IPv4 address, or an IPv6 network of 64 bits.

    A /64 is what one customer of a provider gets at least: limits by IPv6 address limit nobody.
    """
    if isinstance(address, IPv6Address):
        return _network(address, 64)
    return str(address)


def wide_neighbourhood(address: Address | None) -> str:
    """With whom an address is counted where too many are known: a /16, or of IPv6 a /32.

    That is what one provider has at least: whoever has very many addresses has them there.
    """
    return str(None) if address is None else _network(address, 16 if address.version == 4 else 32)


def _network(address: Address, bits: int) -> str:
    """As `ipaddress` writes a network, in a third of the time."""
    host_bits = address.max_prefixlen - bits
    return f"{type(address)(int(address) >> host_bits << host_bits)}/{bits}"


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether the address belongs to one of these networks."""
    return any(address in network for network in networks)
