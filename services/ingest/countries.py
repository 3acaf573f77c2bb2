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

# What ISO 3166-1 assigns: not what it reserves (EU, UK), nor what registries and proxies use for
# themselves (AP, XX, ZZ, T1).
_ASSIGNED = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT
BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH
ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT
HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS
LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI
NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG
SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG
UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
ASSIGNED = frozenset(_ASSIGNED.split())

CountryOf = Callable[[str], str | None]


def country_by_registry(address: str) -> str | None:
    """The code of the country that a block was assigned to; None when it is no IP address."""
    code = country_code(address)
    if code is None:
        plain = _plain_address(address)
        if plain is None or plain == address:
            return plain and UNKNOWN
        code = country_code(plain)
    return code if code in ASSIGNED else UNKNOWN


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
        code = str(country.get("iso_code")) if isinstance(country, dict) else UNKNOWN
        return code if code in ASSIGNED else UNKNOWN

    return country_by_database
