"""The kind of device behind a user agent: a few words that browsers have used for years.

A library with thousands of patterns would tell brands and versions apart that nobody asked for, at
a hundred times the cost. What is no browser on a known device is `unknown`: bots, scripts,
television sets, game consoles.
"""

import re
from functools import lru_cache

from libs.events.models import DeviceType

_LONGEST_USER_AGENT = 1_024

_NO_PERSON = re.compile(
    r"bot\b(?<!cubot)|crawl|spider|slurp|headless|lighthouse|preview|monitor|facebookexternalhit"
    r"|curl/|wget/|python|java/|go-http|axios|node-fetch|okhttp|postman|insomnia|libwww|httpclient"
)
_NO_PERSONAL_DEVICE = re.compile(
    r"smart-?tv|\btv\b|googletv|appletv|hbbtv|netcast|web0s|bravia|\baft[a-z]{1,4}[0-9]?\b|crkey|roku"
    r"|xbox|playstation|nintendo"
)
_TABLET = re.compile(
    r"ipad|macintosh.*mobile/|tablet(?! pc)|playbook|kindle|silk/(?!.*mobile)"
    r"|android(?!.*mobile)|\bkf[a-z]{2,6}\b"
)
_MOBILE = re.compile(
    r"iphone|ipod|android.*mobile|windows phone|iemobile|blackberry|\bbb10\b|opera mini|opera mobi"
    r"|kaios|mobile;|mobile safari"
)
_DESKTOP = re.compile(r"windows nt|macintosh|x11|cros|linux x86_64")


@lru_cache(maxsize=2_048)
def _classify(user_agent: str) -> DeviceType:
    text = user_agent.lower()
    if _NO_PERSON.search(text) or _NO_PERSONAL_DEVICE.search(text):
        return "unknown"
    if _TABLET.search(text):
        return "tablet"
    if _MOBILE.search(text):
        return "mobile"
    return "desktop" if _DESKTOP.search(text) else "unknown"


def device_type_of(user_agent: str) -> DeviceType:
    """`desktop`, `mobile`, `tablet`, or `unknown` where the words say nothing certain."""
    return _classify(user_agent[:_LONGEST_USER_AGENT])
