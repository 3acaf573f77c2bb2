"""From the header `Authorization` to the token that it carries. Pure."""

import re
from collections.abc import Sequence

# RFC 6750: the scheme in any letter case, then one token.
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]{1,256}=*)\Z", re.IGNORECASE)


def bearer_token(authorization: Sequence[str]) -> str | None:
    """The token of these header values; None unless there is one value and it is well-formed."""
    if len(authorization) != 1:
        return None
    match = _BEARER.match(authorization[0].strip(" \t"))
    return None if match is None else match[1]
