"""The language of a user, from what producers have at hand: a tag, or a browser's list. Pure."""

import re
from functools import lru_cache
from sys import intern

from services.ingest.countries import UNKNOWN

_LONGEST_TAG = 64
LONGEST = 1_024
_TAG = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*\Z")
_PRIVATE_USE = re.compile(r"[xX](?:[-_][A-Za-z0-9]{1,8})+\Z")


@lru_cache(maxsize=4_096)
def primary_language(text: str) -> str | None:
    """The primary subtag of a BCP 47 tag, or of the first in an `Accept-Language` list.

    `unknown` for private use; None where the text is neither. Give it `LONGEST` characters at most:
    what it was given is remembered.
    """
    tag = text.partition(",")[0].partition(";")[0].strip()
    if len(tag) > _LONGEST_TAG:
        return None
    if _TAG.match(tag):
        return intern(tag.replace("_", "-").partition("-")[0].lower())
    return UNKNOWN if _PRIVATE_USE.match(tag) else None
