"""The country of an address: from the registries' data, or from an operator's own database.

iptocc costs 0.1 µs a look-up and 2 MB of memory, so nothing is cached and no address outlives its
look-up. The slow way through `ipaddress` is only for what the data does not know.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import maxminddb
from iptocc import country_code

UNKNOWN = "unknown"

# Codes of registries that name no country: Europe, Asia/Pacific, reserved.
_NO_COUNTRIES = frozenset({"EU", "AP", "ZZ"})

CountryOf = Callable[[str], str | None]


def country_by_registry(address: str) -> str | None:
    """The code of the country that a block was assigned to; None when it is no IP address."""
    code = country_code(address)
    if code is None:
        plain = _plain_address(address)
        if plain is None or plain == address:
            return plain and UNKNOWN
        code = country_code(plain)
    return UNKNOWN if code is None or code in _NO_COUNTRIES else code


def _plain_address(address: str) -> str | None:
    """The address in its usual spelling, IPv4 taken out of IPv6; None when it is none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def open_country_database(path: Path) -> CountryOf:
    """A look-up in an operator's .mmdb file (MaxMind's layout: `country.iso_code`).

    Raises OSError or `maxminddb.InvalidDatabaseError` when the file cannot be used.
    """
    reader = maxminddb.open_database(path)

    def country_by_database(address: str) -> str | None:
        plain = _plain_address(address)
        if plain is None:
            return None
        record = reader.get(plain.partition("%")[0])
        country = record.get("country") if isinstance(record, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) and len(code) == 2 else UNKNOWN

    return country_by_database
