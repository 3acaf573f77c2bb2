"""The kind of device behind a user agent: a few words that browsers have used for years.

A library with thousands of patterns would tell brands and versions apart that nobody asked for, at
a hundred times the cost. What is no browser on a known device is `unknown`: bots, scripts,
television sets, game consoles.
"""

import re
from functools import lru_cache

from libs.events.models import DeviceType

_LONGEST_USER_AGENT = 1_024

# Words are looked for one by one, and each pattern begins with letters: a pattern of alternatives
# tries them all at each place, a hundred times slower.
_NO_PERSON = (
    *("crawl", "spider", "slurp", "headless", "lighthouse", "preview", "monitor"),
    *("facebookexternalhit", "curl/", "wget/", "python", "java/", "go-http", "axios", "node-fetch"),
    *("okhttp", "postman", "insomnia", "libwww", "httpclient"),
)
_NO_PERSONAL_DEVICE = (
    *("smarttv", "smart-tv", "googletv", "appletv", "hbbtv", "netcast", "web0s", "bravia", "crkey"),
    *("roku", "xbox", "playstation", "nintendo"),
)
_NEITHER = (
    re.compile(r"bot\b(?<!cubot)"),
    re.compile(r"tv\b(?<=\btv)"),
    re.compile(r"aft(?<=\baft)[a-z]{1,4}[0-9]?\b"),
)
_TABLET = ("ipad", "playbook", "kindle")
_TABLETS = (re.compile(r"tablet(?! pc)"), re.compile(r"kf(?<=\bkf)[a-z]{2,6}\b"))
_MOBILE = (
    *("iphone", "ipod", "windows phone", "iemobile", "blackberry", "opera mini", "opera mobi"),
    *("kaios", "mobile;", "mobile safari"),
)
_MOBILES = (re.compile(r"bb10\b(?<=\bbb10)"),)
_DESKTOP = ("windows nt", "macintosh", "x11", "cros", "linux x86_64")


def _holds(text: str, words: tuple[str, ...], patterns: tuple[re.Pattern[str], ...] = ()) -> bool:
    return any(word in text for word in words) or any(p.search(text) for p in patterns)


def _stand_in_order(text: str, first: str, second: str) -> bool:
    """Whether the second word stands anywhere behind the first."""
    return -1 < text.find(first) < text.rfind(second)


def _is_tablet(text: str) -> bool:
    """Android and Silk say `mobile` on telephones alone, Safari on what is no Macintosh."""
    mobile = text.rfind("mobile")
    return (
        _holds(text, _TABLET, _TABLETS)
        or _stand_in_order(text, "macintosh", "mobile/")
        or text.rfind("silk/") > mobile
        or text.rfind("android") > mobile
    )


@lru_cache(maxsize=2_048)
def _classify(user_agent: str) -> DeviceType:
    text = user_agent.lower()
    if _holds(text, _NO_PERSON, _NEITHER) or _holds(text, _NO_PERSONAL_DEVICE):
        return "unknown"
    if _is_tablet(text):
        return "tablet"
    if _holds(text, _MOBILE, _MOBILES) or _stand_in_order(text, "android", "mobile"):
        return "mobile"
    return "desktop" if _holds(text, _DESKTOP) else "unknown"


def device_type_of(user_agent: str) -> DeviceType:
    """`desktop`, `mobile`, `tablet`, or `unknown` where the words say nothing certain."""
    return _classify(user_agent[:_LONGEST_USER_AGENT])
