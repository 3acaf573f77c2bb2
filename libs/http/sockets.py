"""The socket of a service that listens on `::`."""

import socket

_ANY_ADDRESS = "::"


def socket_of_both_kinds(host: str, port: int, backlog: int) -> socket.socket | None:
    """One that takes IPv4 too: asyncio's own for `::` takes IPv6 alone. None for other hosts."""
    if host != _ANY_ADDRESS or not socket.has_dualstack_ipv6():
        return None
    return socket.create_server(
        (host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
    )
